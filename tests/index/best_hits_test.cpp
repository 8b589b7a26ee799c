#include "index/best_hits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "scored_rows.h"

namespace vitrine::index {
namespace {

constexpr std::int64_t kLargestRow = 0x7fffffff;

/// Many of equal scores.
std::vector<Hit> random_hits(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::int64_t> rows(count);
  for (std::size_t i = 0; i < count; ++i) rows[i] = static_cast<std::int64_t>(i);
  std::shuffle(rows.begin(), rows.end(), random);
  std::vector<Hit> hits;
  for (const std::int64_t row : rows) {
    hits.push_back({static_cast<float>(static_cast<int>(random() % 64) - 32) / 32, row});
  }
  return hits;
}

void expect_equal(const std::vector<Hit>& found, const std::vector<Hit>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].score, expected[i].score) << i;
    EXPECT_EQ(found[i].row, expected[i].row) << i;
  }
}

TEST(BestHits, KeepsTheBestInTheOrderOfHits) {
  for (const std::size_t k : {1, 2, 10, 16, 127, 128, 129, 300}) {
    for (const std::size_t count : {0, 1, 9, 31, 32, 33, 250, 1000}) {
      std::vector<Hit> hits = random_hits(count, static_cast<unsigned>(k + count));
      BestHits best(k);
      for (std::size_t first = 0; first < count; first += 70) {
        ScoredRows(std::span(hits).subspan(first, std::min<std::size_t>(70, count - first)))
            .offer_to(best);
      }
      std::sort(hits.begin(), hits.end(), Better());
      hits.resize(std::min(k, count));
      ASSERT_EQ(best.full(), count >= k) << k << ' ' << count;
      if (count >= k) {
        EXPECT_EQ(best.worst_score(), hits.back().score);
      }
      expect_equal(best.take(), hits);
      EXPECT_FALSE(best.full()) << "nothing is kept";
    }
  }
}

TEST(BestHits, AreTakenIntoArraysOfWhichTheRestIsLeftAlone) {
  for (const std::size_t k : {3, 10, 200}) {
    std::vector<Hit> hits = random_hits(7, 1);
    BestHits best(k);
    ScoredRows(hits).offer_to(best);
    std::vector<std::int64_t> rows(k, -1);
    std::vector<float> scores(k, -9);
    best.take(rows.data(), scores.data());
    EXPECT_FALSE(best.full());
    std::sort(hits.begin(), hits.end(), Better());
    for (std::size_t i = 0; i < k; ++i) {
      EXPECT_EQ(rows[i], i < hits.size() ? hits[i].row : -1);
      EXPECT_EQ(scores[i], i < hits.size() ? hits[i].score : -9);
    }
  }
}

TEST(BestHits, SortsAnyNumberOfHits) {
  for (const std::size_t count : {0, 1, 5, 128, 129, 700}) {
    std::vector<Hit> hits = random_hits(count, static_cast<unsigned>(count));
    std::vector<Hit> expected = hits;
    std::sort(expected.begin(), expected.end(), Better());
    sort_hits(hits);
    expect_equal(hits, expected);
  }
}

TEST(HitKey, OrdersHitsAndGivesThemBack) {
  const std::vector<Hit> hits = {{2.0F, 0},  {1.0F, 7},      {1.0F, kLargestRow}, {1e-30F, 3},
                                 {0.0F, 0},  {0.0F, 1},      {-1e-30F, 0},        {-1.0F, 5},
                                 {-1.0F, 6}, {-INFINITY, 0}, {-INFINITY, 1}};
  for (std::size_t i = 0; i < hits.size(); ++i) {
    const std::int64_t key = HitKey::of(hits[i]);
    EXPECT_EQ(key % 2, 0);
    EXPECT_GT(key, HitKey::kNone);
    for (const std::int64_t each : {key, key + 1}) {
      EXPECT_EQ(HitKey::score(each), hits[i].score);
      EXPECT_EQ(HitKey::row(each), hits[i].row);
    }
    if (i > 0) {
      EXPECT_LT(key + 1, HitKey::of(hits[i - 1]));
    }
  }
  EXPECT_EQ(HitKey::of({-0.0F, 4}), HitKey::of({0.0F, 4}));
}

}  // namespace
}  // namespace vitrine::index
