#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text_length.h"

namespace vitrine::engine {

inline constexpr std::size_t kMaxLabels = 1000;
inline constexpr std::string_view kDefaultPromptTemplate = "a photo of a {}";

/// A sentence with one gap, such as "a photo of a {}" or "a photo of a {label}".
class PromptTemplate {
 public:
  /// Throws InvalidArgument unless the text is UTF-8 and has exactly one "{}" or "{label}".
  explicit PromptTemplate(std::string_view text);

  std::string apply(std::string_view label) const;

 private:
  std::string before_;
  std::string after_;
};

/// Throws InvalidArgument unless there are 1 to kMaxLabels labels, all distinct, non-empty, UTF-8.
void validate_labels(std::span<const std::string> labels);

/// exp(x) / sum(exp(x)), computed so that large logits do not overflow.
std::vector<float> softmax(std::span<const float> logits);
/// 1 / (1 + exp(-x)) of each.
std::vector<float> sigmoid(std::span<const float> logits);

struct LabelScore {
  std::string label;
  /// That it is this label rather than another: those of one classification sum to 1. Of an encoder
  /// with a logit bias (SigLIP): that the label fits the image, each by itself.
  float probability = 0;
  float similarity = 0;   ///< cosine of the image and the label's prompt, in [-1, 1]
  TextLength prompt;      ///< what the encoder read of the label's prompt
};

}  // namespace vitrine::engine
