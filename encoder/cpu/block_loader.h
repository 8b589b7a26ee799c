#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "base/thread_team.h"
#include "encoder/clip_config.h"
#include "encoder/clip_towers.h"
#include "encoder/cpu/kernels.h"
#include "encoder/cpu/transformer.h"

namespace vitrine::encoder::cpu {

/// Of a linear layer, as a checkpoint has them.
struct LayerWeights {
  Matrix weights;  // [outputs, inputs]
  std::vector<float> bias;
};

/// Weights by their Hugging Face names. Every call may throw what the function that reads them
/// does.
class WeightReader {
 public:
  explicit WeightReader(const ReadWeight& read) : read_(read) {}

  std::vector<float> vector(const std::string& name, std::int64_t size) const {
    std::vector<float> values(static_cast<std::size_t>(size));
    read_(name, values);
    return values;
  }
  Matrix matrix(const std::string& name, std::int64_t rows, std::int64_t cols) const {
    Matrix values(static_cast<std::size_t>(rows), static_cast<std::size_t>(cols));
    read_(name, {values.data(), values.rows() * values.cols()});
    return values;
  }
  NormWeights norm(const std::string& name, std::int64_t width) const {
    return {vector(name + ".weight", width), vector(name + ".bias", width)};
  }
  LayerWeights layer(const std::string& name, std::int64_t outputs, std::int64_t inputs) const {
    return {matrix(name + ".weight", outputs, inputs), vector(name + ".bias", outputs)};
  }

 private:
  const ReadWeight& read_;
};

/// The blocks of a tower ("text_model" or "vision_model"), read and packed on all threads of the
/// team.
template <typename Linear>
std::vector<BlockWeights<Linear>> load_blocks(const Kernels& kernels, const WeightReader& reader,
                                              const std::string& tower, const TowerConfig& config,
                                              ThreadTeam& team);

/// SigLIP's attention pooling, as the last block of its vision tower: one that begins anew. What it
/// normalises are the rows that the tower ends with.
template <typename Linear>
BlockWeights<Linear> load_pooling_block(const Kernels& kernels, const WeightReader& reader,
                                        const TowerConfig& config);

}  // namespace vitrine::encoder::cpu
