#pragma once

#include <memory>

#include "encoder/checkpoint_weights.h"
#include "encoder/clip_config.h"
#include "encoder/clip_towers.h"
#include "encoder/image_processor.h"

namespace vitrine::encoder {

/// Whether the program was built for CUDA and finds a device.
bool cuda_available();

/// The two towers in half precision on the first CUDA device. processor must outlive them.
/// Throws Unavailable when there is no CUDA, ResourceExhausted when the memory does not suffice.
std::unique_ptr<ClipTowers> make_cuda_towers(const ClipConfig& config,
                                             const ImageProcessor& processor,
                                             const CheckpointWeights& weights);

}  // namespace vitrine::encoder
