#pragma once

#include <filesystem>

#include "encoder/clip_config.h"
#include "encoder/torch/clip_model.h"
#include "tools/bpe_learner.h"

namespace vitrine::tools {

/// CLIP's own normalisation of pixels, per channel in RGB order, for values in [0, 1].
constexpr float kPixelMean[3] = {0.48145466f, 0.4578275f, 0.40821073f};
constexpr float kPixelStd[3] = {0.26862954f, 0.26130258f, 0.27577711f};

/// Writes a Hugging Face CLIP folder; the weights as F16.
void write_checkpoint(const std::filesystem::path& folder, const encoder::ClipConfig& config,
                      const encoder::WeightMap& weights, const BpeVocabulary& vocabulary);

}  // namespace vitrine::tools
