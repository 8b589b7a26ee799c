#pragma once

#include <memory>

#include "encoder/clip_config.h"
#include "encoder/clip_towers.h"
#include "encoder/cpu/kernels.h"
#include "encoder/image_processor.h"
#include "encoder/precision.h"

namespace vitrine::encoder::cpu {

/// The two towers on the CPU: weights packed once for the kernels, CLIP's texts of different
/// lengths in one batch without padding, and no row computed that no embedding depends on, or, of
/// CLIP's texts, twice in a batch. Texts that do not begin with the config's start token are
/// encoded too, at more cost. precision: not kAuto. threads: of one call, at least 1, and as many
/// stay alive. Throws what read_weight throws.
std::unique_ptr<ClipTowers> make_cpu_towers(const ClipConfig& config,
                                            const ImageProcessor& processor,
                                            const ReadWeight& read_weight, Precision precision,
                                            KernelSet kernel_set, int threads);

}  // namespace vitrine::encoder::cpu
