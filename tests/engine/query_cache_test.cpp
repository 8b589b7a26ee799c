#include "engine/query_cache.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace vitrine::engine {
namespace {

using Kind = QueryCache::Kind;

QueryCache::Entry entry(float value, std::size_t dimension = 16) {
  return {std::vector<float>(dimension, value), {3, true}};
}

Sha256Digest key(int number) { return QueryCache::key(Kind::kText, std::to_string(number)); }

/// What one entry of 16 floats takes.
std::size_t entry_bytes() {
  QueryCache cache(1 << 20);
  cache.insert(key(0), entry(0));
  return cache.stats().bytes;
}

TEST(QueryCache, GivesBackWhatItWasGiven) {
  QueryCache cache(1 << 20);
  EXPECT_FALSE(cache.find(key(1)));
  cache.insert(key(1), entry(0.5F));
  const auto found = cache.find(key(1));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->embedding, std::vector<float>(16, 0.5F));
  EXPECT_EQ(found->length.tokens, 3U);
  EXPECT_TRUE(found->length.truncated);
  EXPECT_FALSE(cache.find(key(2)));
  const QueryCacheStats stats = cache.stats();
  EXPECT_EQ(stats.hits, 1U);
  EXPECT_EQ(stats.misses, 2U);
  EXPECT_EQ(stats.entries, 1U);
  EXPECT_EQ(stats.max_bytes, std::size_t{1} << 20);
}

TEST(QueryCache, TellsATextFromAnImageOfTheSameBytes) {
  EXPECT_NE(QueryCache::key(Kind::kText, "abc"), QueryCache::key(Kind::kImage, "abc"));
}

TEST(QueryCache, DropsWhatWasUsedLongestAgo) {
  QueryCache cache(3 * entry_bytes());
  for (int i = 0; i < 3; ++i) cache.insert(key(i), entry(1));
  EXPECT_TRUE(cache.find(key(0)));
  cache.insert(key(3), entry(1));
  EXPECT_TRUE(cache.find(key(0)));
  EXPECT_FALSE(cache.find(key(1)));
  EXPECT_TRUE(cache.find(key(2)));
  EXPECT_TRUE(cache.find(key(3)));
  EXPECT_EQ(cache.stats().bytes, 3 * entry_bytes());
}

TEST(QueryCache, StaysWithinItsBytes) {
  const std::size_t bound = 10 * entry_bytes();
  QueryCache cache(bound);
  for (int i = 0; i < 1000; ++i) {
    cache.insert(key(i), entry(1, static_cast<std::size_t>(i % 40)));
    EXPECT_LE(cache.stats().bytes, bound);
  }
  EXPECT_TRUE(cache.find(key(999)));
  cache.insert(key(-1), entry(1, bound));  // larger than the whole cache
  EXPECT_FALSE(cache.find(key(-1)));
  EXPECT_TRUE(cache.find(key(999)));
}

TEST(QueryCache, OfNoBytesIsOff) {
  QueryCache cache(0);
  EXPECT_FALSE(cache.enabled());
  cache.insert(key(1), entry(1));
  EXPECT_FALSE(cache.find(key(1)));
  EXPECT_EQ(cache.stats().misses, 0U);
}

TEST(QueryCache, IsSharedByManyThreads) {
  QueryCache cache(20 * entry_bytes());
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&cache, i] {
      for (int j = 0; j < 500; ++j) {
        const int number = (i * 7 + j) % 40;
        if (const auto found = cache.find(key(number))) {
          EXPECT_EQ(found->embedding.front(), static_cast<float>(number));
        } else {
          cache.insert(key(number), entry(static_cast<float>(number)));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const QueryCacheStats stats = cache.stats();
  EXPECT_EQ(stats.hits + stats.misses, 4000U);
  EXPECT_EQ(stats.entries, 20U);
}

}  // namespace
}  // namespace vitrine::engine
