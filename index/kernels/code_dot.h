#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace vitrine::index {

/// Widths of codes are multiples of this many bytes, so that no kernel has a tail.
constexpr std::size_t kCodeAlignment = 64;
/// Widest code whose products fit 32 bits: 65536 * 255 * 128 < 2^31.
constexpr std::size_t kMaxCodeWidth = 65536;

/// Inner products of one query with rows, in integers: exact, and therefore the same for every
/// instruction set. Queries are signed bytes, rows unsigned ones: the instruction that multiplies
/// bytes (VPDPBUSD) takes one of each. width: a multiple of kCodeAlignment, at most kMaxCodeWidth.
struct CodeDotKernel {
  std::string_view name;
  /// Two queries, read once for both: the halves of one of 16 bits. rows: [count, width],
  /// contiguous; what follows them may be fetched ahead. high_out[i] = high . rows[i], and so on.
  void (*contiguous)(const std::int8_t* high, const std::int8_t* low, const std::uint8_t* rows,
                     std::size_t count, std::size_t width, std::int32_t* high_out,
                     std::int32_t* low_out);
  /// out[i] = query . row places[i] of base.
  void (*gathered)(const std::int8_t* query, const std::uint8_t* base, const std::int32_t* places,
                   std::size_t count, std::size_t width, std::int32_t* out);
};

/// What this CPU can run, slowest first; never empty.
std::span<const CodeDotKernel> supported_code_dot_kernels();

/// The fastest of them; chosen once.
const CodeDotKernel& code_dot_kernel();

}  // namespace vitrine::index
