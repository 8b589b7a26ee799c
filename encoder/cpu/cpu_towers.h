#pragma once

#include <memory>

#include "encoder/clip_config.h"
#include "encoder/clip_towers.h"
#include "encoder/cpu/kernels.h"
#include "encoder/image_processor.h"
#include "encoder/precision.h"

namespace vitrine::encoder::cpu {

/// CLIP's two towers on the CPU: weights packed once for the kernels, texts of different lengths in
/// one batch without padding, and no row computed that no embedding depends on, or twice in a
/// batch. start_id: of the token that texts begin with, below vocab_size; texts that begin
/// otherwise are encoded too, at more cost. precision: not kAuto. threads: of one call, at least 1,
/// and as many stay alive. Throws what read_weight throws.
std::unique_ptr<ClipTowers> make_cpu_towers(const ClipConfig& config,
                                            const ImageProcessor& processor,
                                            const ReadWeight& read_weight, std::int32_t start_id,
                                            Precision precision, KernelSet kernel_set, int threads);

}  // namespace vitrine::encoder::cpu
