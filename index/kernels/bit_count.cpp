#include "index/kernels/bit_count.h"

#include <bit>

namespace vitrine::index {
namespace {

#if defined(__x86_64__)
__attribute__((target("popcnt"))) std::size_t count_bits_popcnt(
    std::span<const std::uint64_t> words) {
  std::size_t bits = 0;
  for (const std::uint64_t word : words) {
    bits += static_cast<std::size_t>(__builtin_popcountll(word));
  }
  return bits;
}
#endif

}  // namespace

std::size_t count_bits_portably(std::span<const std::uint64_t> words) {
  std::size_t bits = 0;
  for (const std::uint64_t word : words) bits += static_cast<std::size_t>(std::popcount(word));
  return bits;
}

std::size_t count_bits(std::span<const std::uint64_t> words) {
#if defined(__x86_64__)
  static const bool has_popcnt = __builtin_cpu_supports("popcnt") != 0;
  if (has_popcnt) return count_bits_popcnt(words);
#endif
  return count_bits_portably(words);
}

}  // namespace vitrine::index
