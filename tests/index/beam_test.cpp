#include "index/beam.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace vitrine::index {
namespace {

TEST(Beam, KeepsTheBestInOrderEqualScoresByRow) {
  std::mt19937 random(1);
  for (const std::size_t width : {1, 2, 7, 50, 300}) {
    Beam beam(width);
    std::vector<Hit> hits;
    for (std::int64_t row = 0; row < 200; ++row) {
      hits.push_back({static_cast<float>(random() % 40), row});
    }
    std::shuffle(hits.begin(), hits.end(), random);
    for (const Hit& hit : hits) beam.offer(hit);
    std::sort(hits.begin(), hits.end(), better);
    ASSERT_EQ(beam.size(), std::min<std::size_t>(width, 200));
    for (std::size_t i = 0; i < beam.size(); ++i) EXPECT_EQ(beam[i].row, hits[i].row);
  }
}

TEST(Beam, TellsWhatGotIn) {
  Beam beam(2);
  EXPECT_TRUE(beam.offer({1, 1}));
  EXPECT_EQ(beam.worst(), -INFINITY);
  EXPECT_TRUE(beam.offer({2, 2}));
  EXPECT_EQ(beam.worst(), 1);
  EXPECT_FALSE(beam.offer({0, 3}));
  EXPECT_FALSE(beam.offer({1, 4}));
  EXPECT_TRUE(beam.offer({1, 0}));
}

TEST(Beam, GoesOnFromEachNodeOnceTheBestFirst) {
  Beam beam(3);
  EXPECT_FALSE(beam.next().has_value());
  beam.offer({5, 50});
  beam.offer({3, 30});
  EXPECT_EQ(beam.next()->row, 50);
  beam.offer({4, 40});
  EXPECT_EQ(beam.next()->row, 40);
  beam.offer({6, 60});  // 30 falls out
  EXPECT_EQ(beam.next()->row, 60);
  EXPECT_FALSE(beam.next().has_value());
  beam.clear();
  EXPECT_EQ(beam.size(), 0U);
  beam.offer({1, 10});
  EXPECT_EQ(beam.next()->row, 10);
}

TEST(Beam, GoesOnFromTheBestOfWhatItKeeps) {
  Beam beam(1);
  beam.set_widths(2, 4);
  for (const std::int64_t row : {1, 2, 3, 4, 5}) beam.offer({static_cast<float>(row), row});
  ASSERT_EQ(beam.size(), 4U);
  EXPECT_EQ(beam[3].row, 2);
  EXPECT_EQ(beam.worst(), 2);
  EXPECT_EQ(beam.next()->row, 5);
  EXPECT_EQ(beam.next()->row, 4);
  EXPECT_FALSE(beam.next().has_value());
  beam.offer({4.5F, 6});  // the second best now
  EXPECT_EQ(beam.next()->row, 6);
  EXPECT_FALSE(beam.next().has_value());
}

TEST(Beam, KeepsScoresOfEitherSignToTheLastBit) {
  Beam beam(8);
  const std::vector<float> scores = {1e-30F, 0.0F, -1e-30F, -0.25F, -0.99999994F, -1.0F};
  for (std::size_t i = scores.size(); i-- > 0;)
    beam.offer({scores[i], static_cast<std::int64_t>(i)});
  for (std::size_t i = 0; i < scores.size(); ++i) {
    EXPECT_EQ(beam[i].score, scores[i]);
    EXPECT_EQ(beam[i].row, static_cast<std::int64_t>(i));
  }
  beam.clear();
  // Zeros of either sign are equal, and the largest row there can be comes after the least.
  beam.offer({0.0F, 0x7fffffff});
  beam.offer({-0.0F, 0});
  EXPECT_EQ(beam[0].row, 0);
  EXPECT_EQ(beam[1].row, 0x7fffffff);
}

}  // namespace
}  // namespace vitrine::index
