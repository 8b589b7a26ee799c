#include "index/kernels/rank.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "tests/index/instruction_sets.h"

namespace vitrine::index {
namespace {

class Rank : public testing::TestWithParam<InstructionSet> {
 protected:
  /// Of the first `count` of the scores. Expects what follows to have no rank of theirs.
  std::vector<std::int32_t> ranks_of(const std::vector<float>& scores, std::size_t count) const {
    std::vector<std::int32_t> ranks(kMostRanked, -1);
    kernel_.rank(scores.data(), count, ranks.data());
    for (std::size_t i = count; i < whole_ranked_sets(count); ++i) {
      EXPECT_EQ(ranks[i], static_cast<std::int32_t>(count)) << i;
    }
    ranks.resize(count);
    return ranks;
  }

  static std::vector<std::int32_t> by_sorting(const std::vector<float>& scores, std::size_t count) {
    std::vector<std::int32_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::int32_t a, std::int32_t b) { return scores[a] > scores[b]; });
    std::vector<std::int32_t> ranks(count);
    for (std::size_t i = 0; i < count; ++i) ranks[order[i]] = static_cast<std::int32_t>(i);
    return ranks;
  }

  const RankKernel& kernel_ = rank_kernel(GetParam());
};

TEST_P(Rank, IsThePlaceThatSortingGives) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> any(-1, 1);
  for (std::size_t count = 0; count <= kMostRanked; ++count) {
    // Larger ones follow, which mean nothing; the room ends where the allocation ends, so that a
    // read past it shows under ASan.
    std::vector<float> scores(kMostRanked, 2.0F);
    for (std::size_t i = 0; i < count; ++i) scores[i] = any(random);
    EXPECT_EQ(ranks_of(scores, count), by_sorting(scores, count)) << count;
  }
}

TEST_P(Rank, GoesByTheOrderOfEqualScores) {
  std::mt19937 random(2);
  const std::vector<float> some = {0.0F, -0.0F, 0.5F, -0.5F, 1e-40F};
  for (std::size_t count = 0; count <= kMostRanked; ++count) {
    std::vector<float> scores(kMostRanked, 0.5F);
    for (std::size_t i = 0; i < count; ++i) scores[i] = some[random() % some.size()];
    EXPECT_EQ(ranks_of(scores, count), by_sorting(scores, count)) << count;
  }
}

TEST_P(Rank, IsNotDisturbedByWhatFollowsTheScores) {
  std::vector<float> scores(kMostRanked, std::numeric_limits<float>::quiet_NaN());
  scores[0] = 0.25F;
  scores[1] = 0.75F;
  scores[2] = 0.25F;
  EXPECT_EQ(ranks_of(scores, 3), (std::vector<std::int32_t>{1, 0, 2}));
}

TEST_P(Rank, IsThereOnceWhateverTheScoresAre) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> some = {nan, -nan, infinity, -infinity, 0.0F, -0.0F};
  std::vector<float> scores(kMostRanked);
  for (std::size_t i = 0; i < kMostRanked; ++i) scores[i] = some[i % some.size()];
  std::vector<std::int32_t> ranks = ranks_of(scores, kMostRanked);
  std::sort(ranks.begin(), ranks.end());
  for (std::size_t i = 0; i < kMostRanked; ++i) EXPECT_EQ(ranks[i], static_cast<std::int32_t>(i));
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, Rank, every_instruction_set(), name_of_set);

}  // namespace
}  // namespace vitrine::index
