#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "base/instruction_set.h"
#include "index/kernels/byte_weights.h"

namespace vitrine::index {

/// Rows that lie side by side, one in each lane of the widest register.
constexpr std::size_t kPackedRows = 16;
/// There are whole groups of so many blocks.
constexpr std::size_t kPackedGroup = 2;
/// Elements of a row, the first of kByteRow.
constexpr std::size_t kPackedRow = 24;
/// The code of what is 0.
constexpr int kPackedZero = 128;
/// Elements of a row that lie together, and are multiplied by one instruction.
constexpr std::size_t kPackedElements = 4;
constexpr std::size_t kMostPackedRows = 4096;
/// In place of a row's error where there is no row: what is NaN reaches nothing.
constexpr float kNoPackedRow = std::numeric_limits<float>::quiet_NaN();
/// Hits that are asked for at most.
constexpr std::size_t kMostPackedHits = 64;

/// So many rows, packed.
struct alignas(64) PackedBlock {
  /// Larger by kPackedZero, for a register multiplies bytes of which one is never negative.
  std::uint8_t codes[kPackedRow / kPackedElements][kPackedRows][kPackedElements];
  float scales[kPackedRows];
  float errors[kPackedRows];  ///< of their scores, at most, but for the slack of the query
};

/// Block after block. What follows the last row in its group has errors of kNoPackedRow.
struct PackedRows {
  const PackedBlock* blocks = nullptr;
  std::size_t count = 0;  ///< of rows: at most kMostPackedRows
};

/// Of a row it says score = scale * weights.step * product, which is what it scores less what is
/// the same for all rows.
struct PackedQuery {
  RoundedWeights weights;
  /// How far any score may be off beside the row's error. It covers what rounding makes of score,
  /// error and slack as well.
  float slack = 0;
};

struct PackedBoundsKernel {
  int most_weight;  ///< of a query's, in magnitude
  /// Finds the rows that may be among the k best: k of them score at least as much as any row that
  /// is left out can. places: has room for the rows of whole groups; gets theirs, ascending. k: 1
  /// to kMostPackedHits. Returns how many they are.
  std::size_t (*open)(const PackedQuery& query, const PackedRows& rows, std::size_t k,
                      std::int32_t* places);
};

/// The kernel of an instruction set, which must be a supported one.
const PackedBoundsKernel& packed_bounds_kernel(InstructionSet instruction_set);

/// The fastest kernel this CPU can run; chosen once.
const PackedBoundsKernel& packed_bounds_kernel();

}  // namespace vitrine::index
