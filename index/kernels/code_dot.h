#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace vitrine::index {

/// Bytes of a row are a multiple of it, so that no kernel has a tail.
constexpr std::size_t kCodeAlignment = 64;
/// Elements in so many bytes.
constexpr std::size_t kCodeBlock = 2 * kCodeAlignment;
/// Widest row, in bytes, of which two products, one of them 16 times as large, fit 32 bits
/// together: 65536 elements * 255 * 128 < 2^31.
constexpr std::size_t kMaxCodeWidth = 32768;

/// Inner products of a query with rows, in integers: exact, and therefore the same for every
/// instruction set. An element of a query is a signed byte, one of a row has four bits, [0, 15]:
/// byte i of each 64 holds element i of 128 in its lower bits and element 64 + i in its upper ones.
/// width: bytes of a row, a multiple of kCodeAlignment, at most kMaxCodeWidth; a query has twice as
/// many.
struct CodeDotKernel {
  std::string_view name;
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
};

/// What this CPU can run, slowest first; never empty.
std::span<const CodeDotKernel> supported_code_dot_kernels();

/// The fastest of them; chosen once.
const CodeDotKernel& code_dot_kernel();

}  // namespace vitrine::index
