#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "encoder/clip_tokenizer.h"
#include "encoder/torch/clip_model.h"
#include "tools/training_data.h"

namespace vitrine::tools {

/// Tokens of a text, start and end included; no prompt is longer than half of it.
constexpr int kContextLength = 32;

/// Images as the model takes them: [count, 3, size, size], normalised as the checkpoint says.
/// rgb: [count, size, size, 3], 0..255.
at::Tensor pixel_values(const std::vector<std::uint8_t>& rgb, std::int64_t count,
                        std::int64_t size);

/// Rows at unit length, float32.
at::Tensor unit(const at::Tensor& x);

/// Prompts to padded ids; remembers what it has seen.
class PromptEncoder {
 public:
  /// The tokenizer must outlive the object.
  explicit PromptEncoder(const encoder::ClipTokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  /// [prompts, longest] int64, start and end tokens included, padded with the end token.
  at::Tensor operator()(const std::vector<std::string>& prompts);

 private:
  const encoder::ClipTokenizer* tokenizer_;
  std::unordered_map<std::string, std::vector<std::int32_t>> seen_;
};

/// A thread's share of a step: its own copy of the weights and what it found.
struct Worker {
  explicit Worker(const encoder::ClipTokenizer& tokenizer) : encode(tokenizer) {}
  PromptEncoder encode;
  encoder::WeightMap weights;
  double loss = 0;
};

struct StepOptions {
  int image_size = 56;    ///< pixels
  bool bfloat16 = false;  ///< forward and backward in bfloat16; the weights stay float32
};

/// Leaves the mean gradient of the batches, one a worker, in the weights and returns the mean loss.
/// One batch a thread rather than one operation on all threads: threads that meet once a step lose
/// little when the machine is shared.
double step_gradients(const encoder::ClipConfig& config, const encoder::WeightMap& weights,
                      const Batches& batches, std::vector<Worker>& workers,
                      const StepOptions& options);

}  // namespace vitrine::tools
