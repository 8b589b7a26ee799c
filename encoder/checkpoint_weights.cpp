#include "encoder/checkpoint_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>

#include "base/error.h"
#include "base/text.h"

namespace vitrine::encoder {
namespace {

constexpr std::size_t kMaxListed = 40;
/// Of one layer, where queries, keys and values are one tensor.
constexpr std::int64_t kFewestTensorsOfALayer = 12;

void expect_linear(WeightShapes& shapes, const std::string& name, std::int64_t out,
                   std::int64_t in) {
  shapes[name + ".weight"] = {out, in};
  shapes[name + ".bias"] = {out};
}

void expect_norm(WeightShapes& shapes, const std::string& name, std::int64_t width) {
  shapes[name + ".weight"] = {width};
  shapes[name + ".bias"] = {width};
}

void expect_attention(WeightShapes& shapes, const std::string& name, const TowerConfig& config) {
  for (const char* part : {"q_proj", "k_proj", "v_proj", "out_proj"}) {
    expect_linear(shapes, name + part, config.width, config.width);
  }
}

void expect_mlp(WeightShapes& shapes, const std::string& name, const TowerConfig& config) {
  expect_linear(shapes, name + "mlp.fc1", config.mlp_width, config.width);
  expect_linear(shapes, name + "mlp.fc2", config.width, config.mlp_width);
}

void expect_tower(WeightShapes& shapes, const std::string& tower, const TowerConfig& config) {
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string name = fmt::format("{}.encoder.layers.{}.", tower, layer);
    expect_norm(shapes, name + "layer_norm1", config.width);
    expect_norm(shapes, name + "layer_norm2", config.width);
    expect_attention(shapes, name + "self_attn.", config);
    expect_mlp(shapes, name, config);
  }
}

/// SigLIP's attention of one query to all patches.
void expect_attention_pooling(WeightShapes& shapes, const TowerConfig& config) {
  const std::string head = "vision_model.head.";
  shapes[head + "probe"] = {1, 1, config.width};
  expect_attention(shapes, head + "attention.", config);
  expect_norm(shapes, head + "layernorm", config.width);
  expect_mlp(shapes, head, config);
}

std::int64_t product(const WeightShape& shape) {
  std::int64_t elements = 1;
  for (const std::int64_t extent : shape) elements *= extent;
  return elements;
}

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

/// logit_scale is a scalar in some checkpoints and has one element in others.
bool same_shape(const WeightShape& shape, const WeightShape& expected) {
  return shape == expected || (expected.empty() && shape == WeightShape{1});
}

/// Every way in which the files are not what the config asks for, one line each; then throws.
void compare(const WeightFiles& files, const WeightShapes& expected, std::string_view ignored,
             const std::string& config_name) {
  std::vector<std::string> differences;
  for (const auto& [name, shape] : expected) {
    const auto found = files.tensors().find(name);
    if (found == files.tensors().end()) {
      differences.push_back(fmt::format("missing: {} [{}]", name, fmt::join(shape, ", ")));
      continue;
    }
    const TensorInfo& tensor = found->second;
    if (!same_shape(tensor.shape, shape)) {
      differences.push_back(fmt::format("shape: {} is [{}], {} needs [{}]", name,
                                        fmt::join(tensor.shape, ", "), config_name,
                                        fmt::join(shape, ", ")));
    }
    if (!is_float(tensor.dtype)) {
      differences.push_back(
          fmt::format("type: {} is {}, F32, F16 or BF16 is needed", name, to_string(tensor.dtype)));
    }
  }
  for (const auto& [name, tensor] : files.tensors()) {
    if (!expected.contains(name) && !name.ends_with(ignored)) {
      differences.push_back(
          fmt::format("unexpected: {} [{}]", printable(name), fmt::join(tensor.shape, ", ")));
    }
  }
  if (differences.empty()) return;
  const std::size_t count = differences.size();
  if (count > kMaxListed) {
    differences.resize(kMaxListed);
    differences.push_back(fmt::format("and {} more", count - kMaxListed));
  }
  throw corruption(fmt::format("{} does not match {} in {} places:\n  {}", files.path().string(),
                               config_name, count, fmt::join(differences, "\n  ")));
}

bool all_finite(std::span<const float> values) {
  constexpr std::uint32_t kInfinity = 0x7f800000;
  std::uint32_t largest = 0;  // an integer, so that a compiler takes many at once
  for (const float value : values) {
    largest = std::max(largest, std::bit_cast<std::uint32_t>(value) & 0x7fffffff);
  }
  return largest < kInfinity;
}

}  // namespace

WeightShapes expected_weights(const ClipConfig& config) {
  WeightShapes shapes;
  const TextConfig& text = config.text;
  shapes["text_model.embeddings.token_embedding.weight"] = {text.vocab_size, text.tower.width};
  shapes["text_model.embeddings.position_embedding.weight"] = {text.context_length,
                                                               text.tower.width};
  expect_tower(shapes, "text_model", text.tower);
  expect_norm(shapes, "text_model.final_layer_norm", text.tower.width);
  if (text.pooling == TextPooling::kEndToken) {
    shapes["text_projection.weight"] = {config.projection_dim, text.tower.width};
  } else {
    expect_linear(shapes, "text_model.head", config.projection_dim, text.tower.width);
  }

  const VisionConfig& vision = config.vision;
  shapes["vision_model.embeddings.patch_embedding.weight"] = {vision.tower.width, vision.channels,
                                                              vision.patch_size, vision.patch_size};
  shapes["vision_model.embeddings.position_embedding.weight"] = {vision.tokens(),
                                                                 vision.tower.width};
  expect_tower(shapes, "vision_model", vision.tower);
  expect_norm(shapes, "vision_model.post_layernorm", vision.tower.width);
  if (vision.pooling == ImagePooling::kClassToken) {
    shapes["vision_model.embeddings.class_embedding"] = {vision.tower.width};
    // The misspelling is part of every published checkpoint.
    expect_norm(shapes, "vision_model.pre_layrnorm", vision.tower.width);
    shapes["visual_projection.weight"] = {config.projection_dim, vision.tower.width};
  } else {
    shapes["vision_model.embeddings.patch_embedding.bias"] = {vision.tower.width};
    expect_attention_pooling(shapes, vision.tower);
  }

  shapes["logit_scale"] = {};
  if (config.logit_bias) shapes["logit_bias"] = {};
  return shapes;
}

CheckpointWeights::CheckpointWeights(WeightFiles files, const WeightLayout& layout,
                                     const ClipConfig& config, const std::string& config_name)
    : files_(std::move(files)) {
  // The list of what is expected grows with the layers: they must be ones that the files can have.
  const std::int64_t layers = config.text.tower.layers + config.vision.tower.layers;
  if (layers * kFewestTensorsOfALayer > static_cast<std::int64_t>(files_.tensors().size())) {
    throw corruption(fmt::format("{} has {} tensors, {} asks for {} layers", files_.path().string(),
                                 files_.tensors().size(), config_name, layers));
  }
  shapes_ = expected_weights(config);
  std::map<std::string, WeightPlace> places;
  WeightShapes tensors;
  for (const auto& [name, shape] : shapes_) {
    WeightPlace place = layout.place(name, shape);
    tensors[place.tensor] = place.shape;
    places.emplace(name, std::move(place));
  }
  compare(files_, tensors, layout.ignored_suffix, config_name);

  for (const auto& [name, place] : places) {
    Weight weight{files_.tensors().at(place.tensor), place.transposed};
    const WeightShape& shape = shapes_.at(name);
    const std::size_t size = size_of(weight.tensor.dtype);
    const auto count = static_cast<std::size_t>(product(shape));
    const std::size_t row = shape.empty() ? 0 : count / static_cast<std::size_t>(shape.front());
    const std::size_t first = static_cast<std::size_t>(place.first_row) * row;
    weight.tensor.bytes = weight.tensor.bytes.substr(first * size, count * size);
    weights_.emplace(name, std::move(weight));
  }
}

std::int64_t CheckpointWeights::parameters() const {
  std::int64_t count = 0;
  for (const auto& [name, shape] : shapes_) count += product(shape);
  return count;
}

const CheckpointWeights::Weight& CheckpointWeights::weight(const std::string& name) const {
  const auto found = weights_.find(name);
  if (found == weights_.end()) throw not_found("the checkpoint has no weight " + printable(name));
  return found->second;
}

void CheckpointWeights::read_float(const std::string& name, std::span<float> values) const {
  read_stored(name, values);
  // One of them would reach every text that is encoded beside one with its token.
  if (!all_finite(values)) {
    throw corruption("weight " + printable(name) +
                     " has a value that is not finite; the checkpoint is damaged, or its numbers "
                     "are too large for the type they were converted to");
  }
}

void CheckpointWeights::read_stored(const std::string& name, std::span<float> values) const {
  const Weight& source = weight(name);
  if (!source.transposed) {
    encoder::read_float(source.tensor, values);
    return;
  }
  const auto rows = static_cast<std::size_t>(shapes_.at(name).at(0));
  const auto columns = static_cast<std::size_t>(shapes_.at(name).at(1));
  std::vector<float> stored(values.size());  // [columns, rows]
  encoder::read_float(source.tensor, stored);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) values[r * columns + c] = stored[c * rows + r];
  }
}

}  // namespace vitrine::encoder
