#pragma once

#include <cstddef>

#include "base/instruction_set.h"

namespace vitrine::index {

/// Elements of a row, and of a narrow one.
constexpr std::size_t kSummedRow = 32;
constexpr std::size_t kNarrowSummedRow = 24;

/// Sums of rows by weight: a vector times a matrix of few columns, without a sum across the lanes
/// of a register. In float32, in no particular order.
struct WeightedSumKernel {
  /// weights: [count]. rows: [count, kSummedRow], contiguous.
  /// out[j] = the sum of weights[i] * rows[i][j] over all i, [kSummedRow].
  void (*sum)(const float* weights, const float* rows, std::size_t count, float* out);
  /// The same of rows of kNarrowSummedRow elements; what follows those in out, [kSummedRow], is 0.
  void (*narrow_sum)(const float* weights, const float* rows, std::size_t count, float* out);
};

/// The kernel of an instruction set, which must be a supported one.
const WeightedSumKernel& weighted_sum_kernel(InstructionSet instruction_set);

/// The fastest kernel this CPU can run; chosen once.
const WeightedSumKernel& weighted_sum_kernel();

}  // namespace vitrine::index
