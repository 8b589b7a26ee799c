#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "base/thread_team.h"
#include "encoder/clip_config.h"
#include "encoder/clip_towers.h"
#include "encoder/cpu/huge_pages.h"
#include "encoder/cpu/kernels.h"
#include "encoder/cpu/transformer.h"

namespace vitrine::encoder::cpu {

/// Weights by their Hugging Face names. Every call may throw what the function that reads them
/// does.
class WeightReader {
 public:
  explicit WeightReader(const ReadWeight& read) : read_(read) {}

  void read(const std::string& name, std::span<float> values) const { read_(name, values); }
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

 private:
  const ReadWeight& read_;
};

template <typename Linear>
struct BlockLoader {
  /// The blocks of a tower ("text_model" or "vision_model"), read on all threads of the team and
  /// packed into the pages, which must be there as long as they.
  static std::vector<BlockWeights<Linear>> load(const Kernels& kernels, const WeightReader& reader,
                                                const std::string& tower, const TowerConfig& config,
                                                ThreadTeam& team, HugePages& pages);

  /// SigLIP's attention pooling, as the last block of its vision tower: one that begins anew. What
  /// it normalises are the rows that the tower ends with.
  static BlockWeights<Linear> load_pooling(const Kernels& kernels, const WeightReader& reader,
                                           const TowerConfig& config, HugePages& pages);
};

}  // namespace vitrine::encoder::cpu
