#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "index/top_k.h"

namespace vitrine::index {

/// A hit in one number, for SortedKeysKernel: the better the hit, the larger the number. Its score,
/// in the order of signed numbers, and below that how far its row is from the largest one. The
/// lowest bit is for others to use.
class HitKey {
 public:
  /// Smaller than any hit's.
  static constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::min();

  /// Even. hit: its row fits 31 bits, its score is a number.
  static std::int64_t of(const Hit& hit) {
    const auto bits = std::bit_cast<std::int32_t>(hit.score + 0.0F);  // -0 is 0
    const std::int64_t distance = kLargestRow - static_cast<std::int32_t>(hit.row);
    return std::int64_t{ordered(bits)} * (std::int64_t{1} << 32) + distance * 2;
  }

  // Of a hit's key, whatever its lowest bit.
  static float score(std::int64_t key) {
    return std::bit_cast<float>(ordered(static_cast<std::int32_t>(key >> 32)));
  }
  static std::int64_t row(std::int64_t key) {
    return kLargestRow - static_cast<std::int32_t>(static_cast<std::uint32_t>(key) / 2);
  }
  static Hit hit(std::int64_t key) { return {score(key), row(key)}; }

 private:
  static constexpr std::int32_t kLargestRow = 0x7fffffff;

  /// The bits of a float in the order of signed numbers, and back.
  static std::int32_t ordered(std::int32_t bits) { return bits ^ (bits >> 31 & 0x7fffffff); }
};

}  // namespace vitrine::index
