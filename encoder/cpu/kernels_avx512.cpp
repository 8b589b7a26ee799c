#define VITRINE_LANES 16
#define VITRINE_ROWS 12
#include "encoder/cpu/kernels_impl.h"

namespace vitrine::encoder::cpu {

const Kernels& avx512_kernels() { return kGenericKernels; }

}  // namespace vitrine::encoder::cpu
