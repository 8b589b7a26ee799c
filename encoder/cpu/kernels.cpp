#include "encoder/cpu/kernels.h"

#include <fmt/format.h>

#include <string>

#include "base/error.h"
#include "base/instruction_set.h"
#include "encoder/cpu/kernel_tables.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace vitrine::encoder::cpu {
namespace {

#if defined(__x86_64__)
/// Linux gives a process the tile registers only when it asks for them.
bool has_amx() {
  constexpr long kRequestPermission = 0x1023;                // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;                             // XFEATURE_XTILEDATA
  constexpr unsigned kAmx = 1U << 22 | 1U << 24 | 1U << 25;  // bfloat16, tiles, 8 bits
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((edx & kAmx) != kAmx) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

std::vector<KernelSet> find_kernel_sets() {
  std::vector<KernelSet> sets;
  for (const InstructionSet set : supported_instruction_sets()) {
    switch (set) {
      case InstructionSet::kPortable:
        sets.push_back(KernelSet::kPortable);
        break;
      case InstructionSet::kAvx2:
        sets.push_back(KernelSet::kAvx2);
        break;
      case InstructionSet::kAvx512:
        sets.push_back(KernelSet::kAvx512);
        break;
      case InstructionSet::kAvx512Vnni:
        sets.push_back(KernelSet::kAvx512Vnni);
        break;
    }
  }
#if defined(__x86_64__)
  if (sets.back() == KernelSet::kAvx512Vnni && __builtin_cpu_supports("avx512bf16")) {
    sets.push_back(KernelSet::kAvx512Bf16);
    if (has_amx()) sets.push_back(KernelSet::kAmx);
  }
#endif
  return sets;
}

}  // namespace

std::string_view to_string(KernelSet set) {
  switch (set) {
    case KernelSet::kPortable:
      return "portable";
    case KernelSet::kAvx2:
      return "avx2";
    case KernelSet::kAvx512:
      return "avx512";
    case KernelSet::kAvx512Vnni:
      return "avx512_vnni";
    case KernelSet::kAvx512Bf16:
      return "avx512_bf16";
    case KernelSet::kAmx:
      return "amx";
  }
  throw internal_error("unknown instruction set");
}

const std::vector<KernelSet>& supported_kernel_sets() {
  static const std::vector<KernelSet> sets = find_kernel_sets();
  return sets;
}

KernelSet fastest_kernel_set() {
  const KernelSet last = supported_kernel_sets().back();
#if defined(__x86_64__)
  // Intel's CPUs take four times as long for pairs of bfloat16 numbers as for pairs of integers,
  // and twice as long as for the same in float32.
  if (last == KernelSet::kAvx512Bf16 && __builtin_cpu_is("intel")) return KernelSet::kAvx512Vnni;
#endif
  return last;
}

KernelSet find_kernel_set(std::string_view name) {
  const std::vector<KernelSet>& sets = supported_kernel_sets();
  if (name == "auto") return fastest_kernel_set();
  std::string valid = "auto";
  for (const KernelSet set : sets) {
    if (name == to_string(set)) return set;
    valid += fmt::format(", {}", to_string(set));
  }
  throw invalid_argument(fmt::format("encoder kernels are \"{}\"; this CPU has: {}", name, valid));
}

const Kernels& kernels(KernelSet set) {
  switch (set) {
    case KernelSet::kPortable:
      return portable_kernels();
#if defined(__x86_64__)
    case KernelSet::kAvx2:
      return avx2_kernels();
    case KernelSet::kAvx512:
      return avx512_kernels();
    case KernelSet::kAvx512Vnni:
      return avx512_vnni_kernels();
    case KernelSet::kAvx512Bf16:
      return avx512_bf16_kernels();
    case KernelSet::kAmx:
      return amx_kernels();
#else
    default:
      break;
#endif
  }
  throw internal_error("no kernels for this instruction set");
}

}  // namespace vitrine::encoder::cpu
