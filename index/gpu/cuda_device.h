#pragma once

#include "index/search_device.h"

namespace vitrine::index {

/// The first CUDA device, by the GPU part of FAISS; or why there is none. The definition is in
/// cuda_device.cpp, which alone includes FAISS's GPU headers and CUDA's, or in no_cuda_device.cpp
/// where the program is built without them.
///
/// FAISS takes one stream and one piece of scratch memory for all its work: searches of all indices
/// take turns on the device.
FoundDevice find_cuda_device();

}  // namespace vitrine::index
