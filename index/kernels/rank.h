#pragma once

#include <cstddef>
#include <cstdint>

#include "base/instruction_set.h"

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
  /// ranks[i]: how many of the scores are larger than scores[i], or as large and before it; count
  /// for those that fill up the last set.
  /// scores: [count], numbers, and room for kMostRanked; what follows them means nothing. ranks:
  /// room for kMostRanked.
  void (*rank)(const float* scores, std::size_t count, std::int32_t* ranks);
};

/// The kernel of an instruction set, which must be a supported one.
const RankKernel& rank_kernel(InstructionSet instruction_set);

/// The fastest kernel this CPU can run; chosen once.
const RankKernel& rank_kernel();

}  // namespace vitrine::index
