#pragma once

#include <memory>

#include "encoder/checkpoint_weights.h"
#include "encoder/clip_config.h"
#include "encoder/clip_towers.h"
#include "encoder/image_processor.h"

namespace vitrine::encoder {

/// Whether LibTorch was built for CUDA and finds a device.
bool cuda_available();

/// CLIP's two towers in LibTorch. on_cuda: in half precision on the first CUDA device, else in
/// float32 on the CPU. processor must outlive the towers. Throws Unavailable when there is no
/// device, ResourceExhausted when the memory does not suffice.
std::unique_ptr<ClipTowers> make_torch_towers(const ClipConfig& config,
                                              const ImageProcessor& processor,
                                              const CheckpointWeights& weights, bool on_cuda);

}  // namespace vitrine::encoder
