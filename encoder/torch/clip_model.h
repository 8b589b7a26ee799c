#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "encoder/checkpoint_weights.h"
#include "encoder/clip_config.h"

namespace vitrine::encoder {

using WeightMap = std::unordered_map<std::string, at::Tensor>;
/// The two towers as functions of tensors that the caller names as Hugging Face does. Nothing is
/// copied: a weight that requires a gradient gets one, so that training and serving are one forward
/// pass. Internal to encoder/ and the trainer. Const methods may overlap.
class ClipModel {
 public:
  /// Throws InvalidArgument naming the first weight that is missing or has another shape; further
  /// tensors (such as the position_ids of old checkpoints) are ignored.
  ClipModel(const ClipConfig& config, const WeightMap& weights);
  ~ClipModel();
  ClipModel(ClipModel&&) noexcept;
  ClipModel& operator=(ClipModel&&) noexcept;

  /// pixel_values: [n, channels, image_size, image_size], normalised as the checkpoint wants.
  /// Returns image embeddings [n, projection_dim], not normalised.
  at::Tensor encode_images(const at::Tensor& pixel_values) const;

  /// input_ids: [n, length] int64, length <= context_length, start and end token included, each
  /// text followed by its last token or, where texts are padded, by the pad token.
  /// Returns text embeddings [n, projection_dim], not normalised.
  at::Tensor encode_texts(const at::Tensor& input_ids) const;

  /// The natural logarithm of the scale of the logits, a scalar.
  const at::Tensor& logit_scale() const;
  const ClipConfig& config() const { return config_; }

 private:
  struct Weights;
  ClipConfig config_;
  std::unique_ptr<Weights> weights_;
};

}  // namespace vitrine::encoder
