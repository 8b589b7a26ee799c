#include "index/gpu/cuda_device.h"

namespace vitrine::index {

FoundDevice find_cuda_device() {
  return {nullptr,
          "this program was built without searches on a GPU (CMake found no FAISS with GPU headers "
          "and CUDA toolkit)",
          false};
}

}  // namespace vitrine::index
