#pragma once

#include <cstddef>
#include <cstdint>

#include "base/instruction_set.h"

namespace vitrine::index {

/// Scores and rows that a HitKeysKernel reads together, and keys that it writes: its arrays have
/// room for a multiple of it.
constexpr std::size_t kHitKeysBlock = 8;

/// HitKeys of those that score enough: which do cannot be foretold, so that nothing branches on it.
struct HitKeysKernel {
  /// keys: of the i with scores[i] >= enough, in no particular order, HitKey::of({scores[i],
  /// rows[i]}) + tag, which is 0 or 1. scores: [count], numbers. rows: [count], not negative. What
  /// follows them up to a multiple of kHitKeysBlock is read and means nothing, and keys have room
  /// for as many. Returns how many keys there are.
  std::size_t (*of)(const float* scores, const std::int32_t* rows, std::size_t count, float enough,
                    std::int32_t tag, std::int64_t* keys);
};

/// The kernel of an instruction set, which must be a supported one.
const HitKeysKernel& hit_keys_kernel(InstructionSet instruction_set);

/// The fastest kernel this CPU can run; chosen once.
const HitKeysKernel& hit_keys_kernel();

/// So many, or as many more as a HitKeysKernel wants room for.
constexpr std::size_t hit_keys_room(std::size_t count) {
  return (count + kHitKeysBlock - 1) / kHitKeysBlock * kHitKeysBlock;
}

}  // namespace vitrine::index
