#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace vitrine::index {

/// Scores that a RankKernel takes at most.
constexpr std::size_t kMostRanked = 32;

/// Places in the order of scores, by comparing each with each: of few scores that takes less time
/// than keeping the best sorted, where each has to wait for the one before.
struct RankKernel {
  std::string_view name;
  /// ranks[i]: how many of the scores are larger than scores[i], or as large and before it.
  /// scores: [count], numbers, and room for kMostRanked; what follows them means nothing. ranks:
  /// the same.
  void (*rank)(const float* scores, std::size_t count, std::int32_t* ranks);
};

/// What this CPU can run, slowest first; never empty.
std::span<const RankKernel> supported_rank_kernels();

/// The fastest of them; chosen once.
const RankKernel& rank_kernel();

}  // namespace vitrine::index
