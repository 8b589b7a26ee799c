#pragma once

#include "encoder/cpu/kernels.h"

namespace vitrine::encoder::cpu {

// One file each; to be called only where the CPU has the instruction set.
const Kernels& portable_kernels();
#if defined(__x86_64__)
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
const Kernels& avx512_vnni_kernels();
const Kernels& avx512_bf16_kernels();
const Kernels& amx_kernels();
#endif

}  // namespace vitrine::encoder::cpu
