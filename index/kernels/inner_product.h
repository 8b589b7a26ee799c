#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace vitrine::index {

/// Instruction sets with an implementation of their own. A program built for the oldest x86-64
/// carries them all and chooses when it runs.
enum class InstructionSet { kPortable, kAvx2, kAvx512 };

std::string_view to_string(InstructionSet instruction_set);

/// Inner products of one query with rows, in float32. All three functions of one kernel give the
/// same bits for the same pair of vectors, so that a score does not depend on the way a row was
/// reached. Kernels of different instruction sets add in another order and differ by rounding.
struct InnerProductKernel {
  /// a, b: [dim].
  float (*pair)(const float* a, const float* b, std::size_t dim);
  /// rows: [count, dim], contiguous. out[i] = query . rows[i].
  void (*contiguous)(const float* query, const float* rows, std::size_t count, std::size_t dim,
                     float* out);
  /// base: row-major, dim columns. out[i] = query . base[row_numbers[i]].
  void (*gathered)(const float* query, const float* base, const std::int32_t* row_numbers,
                   std::size_t count, std::size_t dim, float* out);
};

/// What this CPU can run, slowest first; never empty.
std::vector<InstructionSet> supported_instruction_sets();

/// The kernel of an instruction set, which must be a supported one.
const InnerProductKernel& inner_product_kernel(InstructionSet instruction_set);

/// The fastest kernel this CPU can run; chosen once.
const InnerProductKernel& inner_product_kernel();

}  // namespace vitrine::index
