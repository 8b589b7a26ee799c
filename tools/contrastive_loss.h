#pragma once

#include <ATen/core/Tensor.h>

#include "tools/training_data.h"

namespace vitrine::tools {

/// Cross-entropy both ways between images and texts, group by group. A text is positive for every
/// image that has all it names, so a row's target is spread evenly over its positives.
/// images, texts: unit embeddings [products, d] and [texts, d]; scale: exp of the logit scale.
at::Tensor contrastive_loss(const TrainingBatch& batch, const at::Tensor& images,
                            const at::Tensor& texts, const at::Tensor& scale);

}  // namespace vitrine::tools
