#pragma once

#include <cstddef>

#include "base/instruction_set.h"

namespace vitrine {

/// A kernel and what it is written for.
template <class Kernel>
struct KernelFor {
  InstructionSet instruction_set;
  Kernel kernel;
};

/// The kernel of an instruction set, or the last before it where it has none of its own. kernels:
/// slowest first, from the portable one on.
template <class Kernel, std::size_t kCount>
const Kernel& choose_kernel(const KernelFor<Kernel> (&kernels)[kCount],
                            InstructionSet instruction_set) {
  const Kernel* chosen = &kernels[0].kernel;
  for (const KernelFor<Kernel>& each : kernels) {
    if (each.instruction_set <= instruction_set) chosen = &each.kernel;
  }
  return *chosen;
}

}  // namespace vitrine
