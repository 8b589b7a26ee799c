#define VITRINE_LANES 8
#define VITRINE_ROWS 6
#include "encoder/cpu/kernels_impl.h"

namespace vitrine::encoder::cpu {

const Kernels& avx2_kernels() { return kGenericKernels; }

}  // namespace vitrine::encoder::cpu
