#include "encoder/cpu/prefix_cache.h"

#include <gtest/gtest.h>

namespace vitrine::encoder::cpu {
namespace {

constexpr int kStart = PrefixCache::kStart;

/// Offers the token twice, for the first time makes it known to nobody.
int make_known(PrefixCache& prefixes, int before, std::int32_t token) {
  EXPECT_EQ(prefixes.offer(before, token), -1);
  return prefixes.offer(before, token);
}

TEST(PrefixCache, KnowsATokenAfterWhatLeadsToIt) {
  PrefixCache prefixes(10);
  EXPECT_EQ(prefixes.rows(), 11);
  EXPECT_EQ(prefixes.find(kStart, 5), -1);
  const int five = make_known(prefixes, kStart, 5);
  ASSERT_GT(five, kStart);
  ASSERT_LT(five, prefixes.rows());
  const int six = make_known(prefixes, five, 6);
  EXPECT_NE(five, six);
  EXPECT_EQ(prefixes.find(kStart, 5), five);
  EXPECT_EQ(prefixes.find(five, 6), six);
  EXPECT_EQ(prefixes.find(kStart, 6), -1);
  EXPECT_EQ(prefixes.find(six, 5), -1);
}

TEST(PrefixCache, ForgetsWhatWasUsedTheLongestTimeAgo) {
  PrefixCache prefixes(3);
  for (const std::int32_t token : {1, 2, 3}) {
    prefixes.begin_batch();
    EXPECT_GT(make_known(prefixes, kStart, token), 0);
  }
  prefixes.begin_batch();
  EXPECT_GT(prefixes.find(kStart, 1), 0);
  EXPECT_GT(make_known(prefixes, kStart, 4), 0);
  EXPECT_EQ(prefixes.find(kStart, 2), -1);
  for (const std::int32_t token : {1, 3, 4}) EXPECT_GT(prefixes.find(kStart, token), 0);
}

TEST(PrefixCache, KeepsWhatLeadsToAKnownToken) {
  PrefixCache prefixes(2);
  const int one = make_known(prefixes, kStart, 1);
  prefixes.begin_batch();
  const int two = make_known(prefixes, one, 2);
  prefixes.begin_batch();
  prefixes.begin_batch();
  EXPECT_EQ(make_known(prefixes, kStart, 3), two);
  EXPECT_EQ(prefixes.find(kStart, 1), one);
  EXPECT_EQ(prefixes.find(one, 2), -1);
}

TEST(PrefixCache, KeepsWhatTheBatchUses) {
  PrefixCache prefixes(1);
  const int one = make_known(prefixes, kStart, 1);
  EXPECT_EQ(make_known(prefixes, one, 2), -1);
  EXPECT_EQ(make_known(prefixes, kStart, 3), -1);
  prefixes.begin_batch();
  // What the token follows is used, whoever found it.
  EXPECT_EQ(prefixes.offer(one, 2), -1);
  EXPECT_EQ(prefixes.find(kStart, 1), one);
  prefixes.begin_batch();
  EXPECT_EQ(prefixes.offer(kStart, 3), one);
}

TEST(PrefixCache, Forgets) {
  PrefixCache prefixes(4);
  const int one = make_known(prefixes, kStart, 1);
  make_known(prefixes, one, 2);
  prefixes.clear();
  EXPECT_EQ(prefixes.find(kStart, 1), -1);
  EXPECT_EQ(prefixes.find(one, 2), -1);
  EXPECT_EQ(prefixes.offer(kStart, 1), one);
}

}  // namespace
}  // namespace vitrine::encoder::cpu
