#pragma once

#include <string_view>
#include <vector>

namespace vitrine {

/// Instruction sets that kernels are written for, each of which includes those before it. A program
/// built for the oldest x86-64 carries the kernels of all of them and chooses when it runs.
enum class InstructionSet {
  kPortable,
  kAvx2,        ///< AVX2, FMA and POPCNT
  kAvx512,      ///< AVX-512 F, BW, DQ and VL
  kAvx512Vnni,  ///< and VNNI
};

std::string_view to_string(InstructionSet instruction_set);

/// What this CPU and its operating system can run, slowest first; never empty.
std::vector<InstructionSet> supported_instruction_sets();

/// The last of them; found once.
InstructionSet best_instruction_set();

}  // namespace vitrine
