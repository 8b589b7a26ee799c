#pragma once

#include <cstddef>
#include <cstdint>

#include "base/instruction_set.h"

namespace vitrine::index {

/// Bytes of a row are a multiple of it, so that no kernel has a tail.
constexpr std::size_t kCodeAlignment = 64;
/// Elements in so many bytes.
constexpr std::size_t kCodeBlock = 2 * kCodeAlignment;
/// Widest row, in bytes, of which two products, one of them 16 times as large, fit 32 bits
/// together: 65536 elements * 255 * 128 < 2^31.
constexpr std::size_t kMaxCodeWidth = 32768;

/// What a product says of a row, and what is asked of it: whether
///   base + scale * factor * (2 * product - bias) + length * error + slack
/// is at least `enough`; scale and error are the row's own.
struct ProductBound {
  float base = 0;
  float factor = 0;
  std::int32_t bias = 0;
  float length = 0;
  float slack = 0;
  float enough = 0;
};

/// Rows that `reaching` takes at most: a bit each.
constexpr std::size_t kMostReaching = 64;

/// Inner products of a query with rows, in integers: exact, and therefore the same for every
/// instruction set. An element of a query is a signed byte, one of a row has four bits, [0, 15]:
/// byte i of each 64 holds element i of 128 in its lower bits and element 64 + i in its upper ones.
/// width: bytes of a row, a multiple of kCodeAlignment, at most kMaxCodeWidth; a query has twice as
/// many.
struct CodeDotKernel {
  /// rows: [count, width], contiguous; what follows them may be fetched ahead.
  /// out[i] = query . rows[i].
  void (*contiguous)(const std::int8_t* query, const std::uint8_t* rows, std::size_t count,
                     std::size_t width, std::int32_t* out);
  /// out[i] = query . row places[i] of base.
  void (*gathered)(const std::int8_t* query, const std::uint8_t* base, const std::int32_t* places,
                   std::size_t count, std::size_t width, std::int32_t* out);
  /// out[i] = query . (16 * row places[i] of upper + row places[i] of lower).
  void (*gathered_whole)(const std::int8_t* query, const std::uint8_t* upper,
                         const std::uint8_t* lower, const std::int32_t* places, std::size_t count,
                         std::size_t width, std::int32_t* out);
  /// Bit i: whether row i reaches the bound, rounding errors aside. products, scales, errors:
  /// [count]. count: at most kMostReaching.
  std::uint64_t (*reaching)(const ProductBound& bound, const std::int32_t* products,
                            const float* scales, const float* errors, std::size_t count);
};

/// The kernel of an instruction set, which must be a supported one.
const CodeDotKernel& code_dot_kernel(InstructionSet instruction_set);

/// The fastest kernel this CPU can run; chosen once.
const CodeDotKernel& code_dot_kernel();

}  // namespace vitrine::index
