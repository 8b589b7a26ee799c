#include "index/largest_first.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <vector>

namespace vitrine::index {
namespace {

TEST(LargestFirst, GivesAllInTheOrderOfASort) {
  std::mt19937 random(1);
  for (const std::size_t count : {1, 2, 31, 32, 33, 64, 1000}) {
    std::vector<float> scores(count);
    for (float& score : scores) score = static_cast<float>(random() % 50) - 20;  // many ties
    const std::vector<float> given = scores;
    std::vector<float> sorted = scores;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    LargestFirst largest(scores);
    std::vector<bool> taken(count);
    for (const float expected : sorted) {
      const std::size_t at = largest.take();
      ASSERT_LT(at, count);
      EXPECT_FALSE(taken[at]);
      taken[at] = true;
      EXPECT_EQ(given[at], expected);
      EXPECT_LT(scores[at], -1e30F);
    }
  }
}

TEST(LargestFirst, GivesTheFirstOfEqualOnes) {
  std::vector<float> scores(100, 0.5F);
  LargestFirst largest(scores);
  for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(largest.take(), i);
}

}  // namespace
}  // namespace vitrine::index
