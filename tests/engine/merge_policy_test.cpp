#include "engine/merge_policy.h"

#include <gtest/gtest.h>

namespace vitrine::engine {
namespace {

using Step = MergePolicy::Step;
using std::chrono::seconds;

constexpr std::int64_t kNowMs = 1'700'000'000'000;
constexpr std::size_t kProducts = 1'000'000;

TEST(RowsWorthAMerge, AreAQuarterOfTheProductsWithinBounds) {
  EXPECT_EQ(rows_worth_a_merge(10'000, 1'000'000), 10'000U);
  EXPECT_EQ(rows_worth_a_merge(10'000, 40'000), 10'000U);
  EXPECT_EQ(rows_worth_a_merge(10'000, 10'000), 2'500U);
  EXPECT_EQ(rows_worth_a_merge(10'000, 20), 1'000U);
  EXPECT_EQ(rows_worth_a_merge(10, 1'000'000), 10U);
}

TEST(RowsOfAnUrgentMerge, AreFourTimesThoseOrHalfOfWhatIsRefused) {
  EXPECT_EQ(rows_of_an_urgent_merge(10'000, 200'000, 1'000'000), 40'000U);
  EXPECT_EQ(rows_of_an_urgent_merge(10'000, 200'000, 10'000), 10'000U);
  EXPECT_EQ(rows_of_an_urgent_merge(10'000, 20'000, 1'000'000), 10'000U);
  EXPECT_EQ(rows_of_an_urgent_merge(0, 200'001, 10'000), 100'001U);
}

class Merging : public testing::Test {
 protected:
  static MergePolicy::State updated(std::size_t unmerged, std::int64_t age_ms = 0) {
    return {1, kProducts, unmerged, kNowMs - age_ms, false, false};
  }
  Step next(const MergePolicy::State& state, seconds later = seconds(0)) {
    return policy_.next("shop", state, kNowMs, start_ + later);
  }

  MergePolicy policy_{{10'000, 200'000, seconds(3600)}};
  const MergePolicy::Clock::time_point start_ = MergePolicy::Clock::now();
};

TEST_F(Merging, IsDueBySizeOrAge) {
  EXPECT_EQ(next({1, kProducts, 0, std::nullopt, false, false}), Step::kNone);
  EXPECT_EQ(next(updated(9'999)), Step::kNone);
  EXPECT_EQ(next(updated(1, 3'599'999)), Step::kNone);
  EXPECT_EQ(next(updated(1, 3'600'000)), Step::kMerge);
  EXPECT_EQ(policy_.next("other", updated(10'000), kNowMs, start_), Step::kMerge);
}

TEST_F(Merging, HappensByNeitherWhereNeitherIsAskedFor) {
  MergePolicy never({0, 200'000, seconds(0)});
  EXPECT_EQ(never.next("shop", updated(199'999, 1'000'000'000), kNowMs, start_), Step::kNone);
}

TEST_F(Merging, WaitsForAProductAndForTheEndOfAnother) {
  MergePolicy::State state = updated(10'000);
  state.products = 0;
  EXPECT_EQ(next(state), Step::kNone);
  state = updated(10'000);
  state.is_indexing = true;
  EXPECT_EQ(next(state), Step::kNone);
  state.is_indexing = false;
  EXPECT_EQ(next(state), Step::kMerge) << "what was not begun need not be waited for";
}

TEST_F(Merging, IsTriedAgainAfterAMinuteOrOfAnotherGeneration) {
  EXPECT_EQ(next(updated(10'000)), Step::kMerge);
  EXPECT_EQ(next(updated(10'000), seconds(59)), Step::kNone);
  EXPECT_EQ(next(updated(10'000), seconds(60)), Step::kMerge);
  MergePolicy::State merged = updated(10'000);
  merged.generation = 2;
  EXPECT_EQ(next(merged, seconds(61)), Step::kMerge);
}

TEST_F(Merging, BeginsAnewAsSoonAsOneThatLaggedHasEnded) {
  EXPECT_EQ(next(updated(10'000)), Step::kMerge);
  MergePolicy::State state = updated(39'999);
  state.is_indexing = state.is_merging_idly = true;
  EXPECT_EQ(next(state, seconds(1)), Step::kNone);
  state.unmerged = 40'000;
  EXPECT_EQ(next(state, seconds(2)), Step::kCancelIdleMerge);
  state.is_merging_idly = false;
  EXPECT_EQ(next(state, seconds(3)), Step::kNone) << "it has not ended yet";
  state.is_indexing = false;
  EXPECT_EQ(next(state, seconds(4)), Step::kMerge);
}

}  // namespace
}  // namespace vitrine::engine
