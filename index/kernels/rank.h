#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace vitrine::index {

/// Scores that a RankKernel takes at most.
constexpr std::size_t kMostRanked = 64;

/// Scores are gone through in sets of so many. How many there are can seldom be foretold: the fewer
/// branches depend on it, the better.
constexpr std::size_t kRankedTogether = 4;

/// So many and those that fill up the last set.
constexpr std::size_t whole_ranked_sets(std::size_t count) {
  return (count + kRankedTogether - 1) / kRankedTogether * kRankedTogether;
}

/// Places in the order of scores, by comparing each with each: of few scores that takes less time
/// than keeping the best sorted, where each has to wait for the one before.
struct RankKernel {
  std::string_view name;
  /// ranks[i]: how many of the scores are larger than scores[i], or as large and before it; count
  /// for those that fill up the last set.
  /// scores: [count], numbers, and room for kMostRanked; what follows them means nothing. ranks:
  /// room for kMostRanked.
  void (*rank)(const float* scores, std::size_t count, std::int32_t* ranks);
};

/// What this CPU can run, slowest first; never empty.
std::span<const RankKernel> supported_rank_kernels();

/// The fastest of them; chosen once.
const RankKernel& rank_kernel();

}  // namespace vitrine::index
