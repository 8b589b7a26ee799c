#pragma once

#include <cstddef>
#include <cstdint>

#include "base/instruction_set.h"

namespace vitrine::index {

/// Elements, and bytes, of a row and of a query.
constexpr std::size_t kByteRow = 32;
/// Largest magnitude of a query's element: two products with a row's, which is at most 255, fit
/// 16 bits together.
constexpr int kMostByteWeight = 63;

/// What a product says of a row.
struct ByteDotScore {
  float base = 0;
  float factor = 0;
  std::int32_t bias = 0;

  /// scale: the row's own.
  float of(std::int32_t product, float scale) const {
    return base + scale * factor * static_cast<float>(product - bias);
  }
};

/// Inner products of a query of signed bytes with rows of unsigned ones, kByteRow of each, in
/// integers: exact, and therefore the same for every instruction set.
struct ByteDotKernel {
  /// rows: [count, kByteRow], contiguous. out[i] = query . rows[i].
  void (*contiguous)(const std::int8_t* query, const std::uint8_t* rows, std::size_t count,
                     std::int32_t* out);
  /// out[i] = query . row places[i] of base.
  void (*gathered)(const std::int8_t* query, const std::uint8_t* base, const std::int32_t* places,
                   std::size_t count, std::int32_t* out);
  /// The same with what the products say: out[i] = score.of(product, scales[i] or of the place).
  void (*contiguous_scores)(const std::int8_t* query, const ByteDotScore& score,
                            const std::uint8_t* rows, const float* scales, std::size_t count,
                            float* out);
  void (*gathered_scores)(const std::int8_t* query, const ByteDotScore& score,
                          const std::uint8_t* base, const float* scales, const std::int32_t* places,
                          std::size_t count, float* out);
};

/// The kernel of an instruction set, which must be a supported one.
const ByteDotKernel& byte_dot_kernel(InstructionSet instruction_set);

/// The fastest kernel this CPU can run; chosen once.
const ByteDotKernel& byte_dot_kernel();

}  // namespace vitrine::index
