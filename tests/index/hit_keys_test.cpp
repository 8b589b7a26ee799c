#include "index/kernels/hit_keys.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "index/hit_key.h"
#include "tests/index/instruction_sets.h"
#include "tests/index/scored_rows.h"

namespace vitrine::index {
namespace {

class HitKeys : public testing::TestWithParam<InstructionSet> {
 protected:
  const HitKeysKernel& kernel_ = hit_keys_kernel(GetParam());
};

TEST_P(HitKeys, AreThoseOfTheHitsThatScoreEnough) {
  std::mt19937 random(1);
  const std::vector<float> some_scores = {0.0F, -0.0F, 1e-30F, -1e-30F, 0.5F, -0.5F, 3.0F, -3.0F};
  for (std::size_t count = 0; count < 70; ++count) {
    std::vector<Hit> hits;
    for (std::size_t i = 0; i < count; ++i) {
      const std::int64_t row = i % 5 == 0 ? 0x7fffffff - static_cast<std::int64_t>(i)
                                          : static_cast<std::int64_t>(random() % 1000);
      hits.push_back({some_scores[random() % some_scores.size()], row});
    }
    const ScoredRows given(hits);
    for (const float enough : {-std::numeric_limits<float>::infinity(), -0.5F, 0.0F, 1.0F, 4.0F}) {
      for (const std::int32_t tag : {0, 1}) {
        std::vector<std::int64_t> expected;
        for (const Hit& hit : hits) {
          if (hit.score >= enough) expected.push_back(HitKey::of(hit) + tag);
        }
        std::vector<std::int64_t> keys(hit_keys_room(count));
        keys.resize(
            kernel_.of(given.scores.data(), given.rows.data(), count, enough, tag, keys.data()));
        std::sort(keys.begin(), keys.end());
        std::sort(expected.begin(), expected.end());
        EXPECT_EQ(keys, expected) << count << ' ' << enough << ' ' << tag;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, HitKeys, every_instruction_set(), name_of_set);

}  // namespace
}  // namespace vitrine::index
