#include "encoder/cuda_towers.h"

#include "base/error.h"
#ifdef VITRINE_CUDA
#include "encoder/torch/torch_towers.h"
#endif

namespace vitrine::encoder {

#ifdef VITRINE_CUDA

bool cuda_available() { return torch_finds_cuda(); }

std::unique_ptr<ClipTowers> make_cuda_towers(const ClipConfig& config,
                                             const ImageProcessor& processor,
                                             const CheckpointWeights& weights) {
  if (!cuda_available()) {
    throw unavailable("device is \"cuda\", and LibTorch finds no CUDA device; \"cpu\" needs none");
  }
  return make_torch_towers(config, processor, weights, TorchPlace::kCudaFloat16);
}

#else

bool cuda_available() { return false; }

std::unique_ptr<ClipTowers> make_cuda_towers(const ClipConfig&, const ImageProcessor&,
                                             const CheckpointWeights&) {
  throw unavailable(
      "device is \"cuda\", and this program was built without CUDA (CMake found no LibTorch for "
      "it); \"cpu\" needs none");
}

#endif

}  // namespace vitrine::encoder
