#include "base/instruction_set.h"

namespace vitrine {

std::string_view to_string(InstructionSet instruction_set) {
  switch (instruction_set) {
    case InstructionSet::kPortable:
      return "portable";
    case InstructionSet::kAvx2:
      return "avx2";
    case InstructionSet::kAvx512:
      return "avx512";
    case InstructionSet::kAvx512Vnni:
      return "avx512_vnni";
  }
  return "unknown";
}

std::vector<InstructionSet> supported_instruction_sets() {
  std::vector<InstructionSet> supported = {InstructionSet::kPortable};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("popcnt")) {
    supported.push_back(InstructionSet::kAvx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      supported.push_back(InstructionSet::kAvx512);
      if (__builtin_cpu_supports("avx512vnni")) {
        supported.push_back(InstructionSet::kAvx512Vnni);
      }
    }
  }
#endif
  return supported;
}

InstructionSet best_instruction_set() {
  static const InstructionSet best = supported_instruction_sets().back();
  return best;
}

}  // namespace vitrine
