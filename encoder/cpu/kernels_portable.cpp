#define VITRINE_LANES 4
#define VITRINE_ROWS 4
#include "encoder/cpu/kernels_impl.h"

namespace vitrine::encoder::cpu {

const Kernels& portable_kernels() { return kGenericKernels; }

}  // namespace vitrine::encoder::cpu
