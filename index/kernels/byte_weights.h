#pragma once

#include <array>
#include <cstdint>

#include "base/instruction_set.h"
#include "index/kernels/byte_dot.h"

namespace vitrine::index {

/// A query's elements as a ByteDotKernel takes them: element = step * (high + low / kLowSteps),
/// about.
struct ByteWeights {
  static constexpr int kLowSteps = 2 * kMostByteWeight;

  std::array<std::int8_t, kByteRow> high = {};  ///< in steps, to the nearest
  std::array<std::int8_t, kByteRow> low = {};   ///< what is left, in steps / kLowSteps
  std::int32_t high_sum = 0;                    ///< of all elements of high
  std::int32_t low_sum = 0;
  float step = 0;
};

/// Sums of squares in float32, in no particular order.
struct ByteWeightsLoss {
  float largest = 0;            ///< magnitude of an element
  float square = 0;             ///< of the elements
  float lost_square = 0;        ///< of what both bytes leave of them
  float rough_lost_square = 0;  ///< of what the high ones leave
};

/// A query's elements in one byte each: element = step * weight, about.
struct RoundedWeights {
  std::array<std::int8_t, kByteRow> weights = {};  ///< in steps, to the nearest
  float step = 0;
};

struct ByteWeightsKernel {
  /// elements: [kByteRow], finite. Weights are at most kMostByteWeight.
  ByteWeightsLoss (*split)(const float* elements, ByteWeights& weights);
  /// The same with high bytes alone, whose magnitude is at most `most`: 1 to 127. Nothing is said
  /// of lost_square.
  ByteWeightsLoss (*round)(const float* elements, int most, RoundedWeights& weights);
};

/// The kernel of an instruction set, which must be a supported one.
const ByteWeightsKernel& byte_weights_kernel(InstructionSet instruction_set);

/// The fastest kernel this CPU can run; chosen once.
const ByteWeightsKernel& byte_weights_kernel();

}  // namespace vitrine::index
