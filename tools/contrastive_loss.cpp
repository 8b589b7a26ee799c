#include "tools/contrastive_loss.h"

#include <ATen/ATen.h>

#include <array>

namespace vitrine::tools {
namespace {

struct GroupWeight {
  double to_text, to_image, smoothing;
};
// Garments are what is hard; their labels are noisy (shirt or t-shirt?), hence the smoothing.
constexpr std::array<GroupWeight, 4> kWeights{{
    {1.0, 0.15, 0.06},  // garments
    {0.3, 0.10, 0.0},   // colours
    {0.4, 0.10, 0.0},   // patterns
    {0.6, 0.60, 0.0},   // captions
}};

/// logits, positive: [rows, columns]. Rows without a positive do not count.
at::Tensor soft_cross_entropy(const at::Tensor& logits, const at::Tensor& positive,
                              double smoothing) {
  const at::Tensor count = positive.sum(1, true);
  const at::Tensor target = positive / count.clamp_min(1.0) * (1.0 - smoothing) +
                            smoothing / static_cast<double>(positive.size(1));
  const at::Tensor losses = -(at::log_softmax(logits, 1) * target).sum(1);
  const at::Tensor counted = count.squeeze(1).gt(0).to(at::kFloat);
  return (losses * counted).sum() / counted.sum().clamp_min(1.0);
}

}  // namespace

at::Tensor contrastive_loss(const TrainingBatch& batch, const at::Tensor& images,
                            const at::Tensor& texts, const at::Tensor& scale) {
  const auto rows = static_cast<std::int64_t>(batch.products.size());
  const auto columns = static_cast<std::int64_t>(batch.texts.size());
  at::Tensor positive = at::empty({rows, columns}, at::kFloat);
  float* cell = positive.data_ptr<float>();
  for (const Attributes& product : batch.products) {
    for (const Attributes& text : batch.texts) *cell++ = matches(text, product) ? 1.0f : 0.0f;
  }
  const at::Tensor logits = at::matmul(images, texts.t()) * scale;
  at::Tensor loss = at::zeros({}, at::kFloat);
  std::int64_t begin = 0;
  for (std::size_t group = 0; group < kWeights.size(); ++group) {
    const std::int64_t end = batch.group_ends[group];
    const at::Tensor part = logits.slice(1, begin, end), wanted = positive.slice(1, begin, end);
    const GroupWeight& weight = kWeights[group];
    loss = loss + weight.to_text * soft_cross_entropy(part, wanted, weight.smoothing) +
           weight.to_image * soft_cross_entropy(part.t(), wanted.t(), 0.0);
    begin = end;
  }
  return loss;
}

}  // namespace vitrine::tools
