#pragma once

#include <cstddef>
#include <cstdint>

#include "base/instruction_set.h"

namespace vitrine::index {

constexpr std::size_t kMostSortedKeys = 128;
/// Their number is a multiple of it.
constexpr std::size_t kSortedKeysBlock = 4;

/// A few numbers, largest first, in an array that stays as long as it is: those that others push
/// beyond its end are lost. Where a number gets in cannot be foretold, so that nothing here
/// branches on it.
struct SortedKeysKernel {
  /// keys: [size]. added: [count], in any order; what is in there afterwards means nothing.
  void (*insert)(std::int64_t* keys, std::size_t size, std::int64_t* added, std::size_t count);
  /// Bit i: whether keys[i] is odd. size: at most 64.
  std::uint64_t (*odd)(const std::int64_t* keys, std::size_t size);
};

/// The kernel of an instruction set, which must be a supported one.
const SortedKeysKernel& sorted_keys_kernel(InstructionSet instruction_set);

/// The fastest kernel this CPU can run; chosen once.
const SortedKeysKernel& sorted_keys_kernel();

}  // namespace vitrine::index
