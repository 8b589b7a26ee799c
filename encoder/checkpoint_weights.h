#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "encoder/clip_config.h"
#include "encoder/safetensors.h"
#include "encoder/weight_files.h"

namespace vitrine::encoder {

using WeightShape = std::vector<std::int64_t>;
using WeightShapes = std::map<std::string, WeightShape>;

/// Every weight of a model of this config, by its Hugging Face name.
WeightShapes expected_weights(const ClipConfig& config);

/// Where a checkpoint's files hold one weight.
struct WeightPlace {
  std::string tensor;          ///< its name in the files
  WeightShape shape;           ///< of the whole tensor
  std::int64_t first_row = 0;  ///< of the tensor, where the weight begins
  bool transposed = false;     ///< [columns, rows] in the file, the whole tensor
};

/// How a checkpoint format names and arranges the weights.
struct WeightLayout {
  /// The place of the weight of a Hugging Face name and shape.
  std::function<WeightPlace(const std::string& name, const WeightShape& shape)> place;
  /// Tensors whose names end so are no weights, and ignored.
  std::string_view ignored_suffix;
};

/// The weights of a CLIP checkpoint by their Hugging Face names, whatever its format. They stay in
/// the mapped files and are converted one at a time, when they are read: an encoder that packs each
/// into its own form never holds the whole checkpoint. Movable; const methods may overlap.
class CheckpointWeights {
 public:
  /// Compares the files with the config as a whole, before anything of a size that the config
  /// claims is allocated: afterwards every size in it is one that the files have. config_name: for
  /// messages. Throws Corruption that lists every difference: missing, unexpected, of another shape
  /// or type.
  CheckpointWeights(WeightFiles files, const WeightLayout& layout, const ClipConfig& config,
                    const std::string& config_name);

  /// All weights: those that expected_weights() lists, logit_scale included.
  const WeightShapes& shapes() const { return shapes_; }
  /// Elements of all weights.
  std::int64_t parameters() const;
  /// Writes the weight, row-major in its shape. values: exactly its number of elements. Throws
  /// NotFound, InvalidArgument when the size is another, Corruption when a value is not finite.
  void read_float(const std::string& name, std::span<float> values) const;

 private:
  struct Weight {
    TensorInfo tensor;  // the part of a file's tensor that is the weight
    bool transposed = false;
  };
  const Weight& weight(const std::string& name) const;
  /// As read_float(), whatever the values are.
  void read_stored(const std::string& name, std::span<float> values) const;

  WeightFiles files_;
  WeightShapes shapes_;
  std::map<std::string, Weight> weights_;
};

}  // namespace vitrine::encoder
