#pragma once

#include <memory>

#include "encoder/checkpoint_weights.h"
#include "encoder/clip_config.h"
#include "encoder/clip_towers.h"
#include "encoder/image_processor.h"

namespace vitrine::encoder {

/// Whether LibTorch was built for CUDA and finds a device.
bool torch_finds_cuda();

/// Where the towers run, and in which precision.
enum class TorchPlace {
  kCpuFloat32,   ///< what the CPU towers are compared with in tests
  kCudaFloat16,  ///< the first CUDA device; only where torch_finds_cuda()
};

/// The two towers in LibTorch. processor must outlive them. Throws ResourceExhausted when the
/// memory does not suffice.
std::unique_ptr<ClipTowers> make_torch_towers(const ClipConfig& config,
                                              const ImageProcessor& processor,
                                              const CheckpointWeights& weights, TorchPlace place);

}  // namespace vitrine::encoder
