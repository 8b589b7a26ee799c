#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace vitrine::index {

/// Elements, and bytes, of a row and of a query.
constexpr std::size_t kByteRow = 32;
/// Largest magnitude of a query's element: two products with a row's, which is at most 255, fit
/// 16 bits together.
constexpr int kMostByteWeight = 63;

/// Inner products of a query of signed bytes with rows of unsigned ones, kByteRow of each, in
/// integers: exact, and therefore the same for every instruction set.
struct ByteDotKernel {
  std::string_view name;
  /// rows: [count, kByteRow], contiguous. out[i] = query . rows[i].
  void (*contiguous)(const std::int8_t* query, const std::uint8_t* rows, std::size_t count,
                     std::int32_t* out);
  /// out[i] = query . row places[i] of base.
  void (*gathered)(const std::int8_t* query, const std::uint8_t* base, const std::int32_t* places,
                   std::size_t count, std::int32_t* out);
};

/// What this CPU can run, slowest first; never empty.
std::span<const ByteDotKernel> supported_byte_dot_kernels();

/// The fastest of them; chosen once.
const ByteDotKernel& byte_dot_kernel();

}  // namespace vitrine::index
