#include "index/kernels/sorted_keys.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "tests/index/instruction_sets.h"

namespace vitrine::index {
namespace {

constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();

class SortedKeys : public testing::TestWithParam<InstructionSet> {
 protected:
  const SortedKeysKernel& kernel_ = sorted_keys_kernel(GetParam());
};

TEST_P(SortedKeys, KeepTheLargestInOrder) {
  std::mt19937_64 random(1);
  for (std::size_t size = kSortedKeysBlock; size <= kMostSortedKeys; size += kSortedKeysBlock) {
    std::vector<std::int64_t> keys(size, kLeast);
    std::vector<std::int64_t> all = keys;
    for (const std::size_t count : {0, 1, 2, 9, 32, 200}) {
      std::vector<std::int64_t> added;
      for (std::size_t i = 0; i < count; ++i) {
        // Near and far ones, and some that are equal.
        const auto number = static_cast<std::int64_t>(random());
        added.push_back(i % 3 == 0 ? number % 10 : number);
      }
      all.insert(all.end(), added.begin(), added.end());
      std::sort(all.begin(), all.end(), std::greater<>());
      kernel_.insert(keys.data(), size, added.data(), count);
      ASSERT_TRUE(std::equal(keys.begin(), keys.end(), all.begin())) << size << ' ' << count;
    }
  }
}

TEST_P(SortedKeys, TellWhichAreOdd) {
  std::mt19937_64 random(2);
  for (std::size_t size = kSortedKeysBlock; size <= 64; size += kSortedKeysBlock) {
    std::vector<std::int64_t> keys(size);
    for (std::int64_t& key : keys) key = static_cast<std::int64_t>(random());
    const std::uint64_t odd = kernel_.odd(keys.data(), size);
    for (std::size_t i = 0; i < 64; ++i) {
      EXPECT_EQ(odd >> i & 1, i < size ? static_cast<std::uint64_t>(keys[i] & 1) : 0U);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, SortedKeys, every_instruction_set(), name_of_set);

}  // namespace
}  // namespace vitrine::index
