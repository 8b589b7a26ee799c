#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace vitrine::index {

constexpr std::size_t kMostSortedKeys = 128;
/// Their number is a multiple of it.
constexpr std::size_t kSortedKeysBlock = 4;

/// A few numbers, largest first, in an array that stays as long as it is: those that others push
/// beyond its end are lost. Where a number gets in cannot be foretold, so that nothing here
/// branches on it.
struct SortedKeysKernel {
  std::string_view name;
  /// keys: [size]. added: [count], in any order; what is in there afterwards means nothing.
  void (*insert)(std::int64_t* keys, std::size_t size, std::int64_t* added, std::size_t count);
  /// Bit i: whether keys[i] is odd. size: at most 64.
  std::uint64_t (*odd)(const std::int64_t* keys, std::size_t size);
};

/// What this CPU can run, slowest first; never empty.
std::span<const SortedKeysKernel> supported_sorted_keys_kernels();

/// The fastest of them; chosen once.
const SortedKeysKernel& sorted_keys_kernel();

}  // namespace vitrine::index
