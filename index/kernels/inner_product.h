#pragma once

#include <cstddef>
#include <cstdint>

#include "base/instruction_set.h"

namespace vitrine::index {

/// Inner products of one query with rows, in float32. All functions of one kernel give the
/// same bits for the same pair of vectors, so that a score does not depend on the way a row was
/// reached. Rows may lie at any address, as they do in a mapped file, the query must be aligned.
/// Kernels of different instruction sets add in another order and differ by rounding.
struct InnerProductKernel {
  /// a: [dim], the query. b: [dim].
  float (*pair)(const float* a, const float* b, std::size_t dim);
  /// rows: [count, dim], contiguous. out[i] = query . rows[i].
  void (*contiguous)(const float* query, const float* rows, std::size_t count, std::size_t dim,
                     float* out);
  /// base: row-major, dim columns. out[i] = query . base[row_numbers[i]].
  void (*gathered)(const float* query, const float* base, const std::int32_t* row_numbers,
                   std::size_t count, std::size_t dim, float* out);
  /// rows: [count] addresses of rows. out[i] = query . rows[i].
  void (*listed)(const float* query, const float* const* rows, std::size_t count, std::size_t dim,
                 float* out);
};

/// The kernel of an instruction set, which must be a supported one.
const InnerProductKernel& inner_product_kernel(InstructionSet instruction_set);

/// The fastest kernel this CPU can run; chosen once.
const InnerProductKernel& inner_product_kernel();

}  // namespace vitrine::index
