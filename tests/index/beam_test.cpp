#include "index/beam.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <span>
#include <vector>

#include "scored_rows.h"

namespace vitrine::index {
namespace {

/// The row of the next node, or -1.
std::int64_t next_of(Beam& beam) {
  Hit node;
  return beam.next({&node, 1}) == 0 ? -1 : node.row;
}

TEST(Beam, KeepsTheBestInOrderEqualScoresByRow) {
  std::mt19937 random(1);
  for (const std::size_t width : {1, 2, 7, 32, 33, 50, 128, 129, 300}) {
    for (const std::size_t at_a_time : {1, 3, 40}) {
      Beam beam(width);
      std::vector<Hit> hits;
      for (std::int64_t row = 0; row < 200; ++row) {
        hits.push_back({static_cast<float>(random() % 40) - 20, row});
      }
      std::shuffle(hits.begin(), hits.end(), random);
      for (std::size_t i = 0; i < hits.size(); i += at_a_time) {
        ScoredRows(std::span(hits).subspan(i, std::min(at_a_time, hits.size() - i))).offer_to(beam);
        const std::size_t offered = std::min(hits.size(), i + at_a_time);
        ASSERT_EQ(beam.size(), std::min(width, offered));
      }
      std::sort(hits.begin(), hits.end(), better);
      for (std::size_t i = 0; i < beam.size(); ++i) EXPECT_EQ(beam[i].row, hits[i].row);
      EXPECT_EQ(beam.worst(), width <= 200 ? hits[width - 1].score : -INFINITY);
    }
  }
}

TEST(Beam, TellsWhatANodeMustScoreToGetIn) {
  Beam beam(2);
  beam.offer({1, 1});
  EXPECT_EQ(beam.worst(), -INFINITY);
  beam.offer({2, 2});
  EXPECT_EQ(beam.worst(), 1);
  beam.offer({0, 3});
  beam.offer({1, 4});
  EXPECT_EQ(beam[1].row, 1);
  beam.offer({1, 0});
  EXPECT_EQ(beam[1].row, 0);
}

TEST(Beam, GoesOnFromEachNodeOnceTheBestFirst) {
  for (const std::size_t width : {3, 60, 65, 200}) {
    Beam beam(width);
    EXPECT_EQ(next_of(beam), -1);
    beam.offer({5, 50});
    beam.offer({3, 30});
    EXPECT_EQ(next_of(beam), 50);
    beam.offer({4, 40});
    EXPECT_EQ(next_of(beam), 40);
    beam.offer({6, 60});
    EXPECT_EQ(next_of(beam), 60);
    EXPECT_EQ(next_of(beam), width == 3 ? -1 : 30);  // of three it falls out
    EXPECT_EQ(next_of(beam), -1);
    beam.clear();
    EXPECT_EQ(beam.size(), 0U);
    beam.offer({1, 10});
    EXPECT_EQ(next_of(beam), 10);
  }
}

TEST(Beam, GoesOnFromSeveralNodesAtATime) {
  for (const std::size_t width : {12, 64, 65, 200}) {
    Beam beam(width);
    std::vector<Hit> hits;
    for (std::int64_t row = 0; row < 10; ++row) hits.push_back({static_cast<float>(row), row});
    ScoredRows(hits).offer_to(beam);
    std::vector<Hit> nodes(4);
    std::vector<std::int64_t> likely;
    beam.for_likely([&](std::int64_t row) { likely.push_back(row); });
    EXPECT_EQ(likely.front(), 9);
    ASSERT_EQ(beam.next(nodes), 4U);
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(nodes[i].row, 9 - static_cast<std::int64_t>(i));
      EXPECT_EQ(nodes[i].score, 9.0F - static_cast<float>(i));
    }
    beam.offer({7.5F, 75});
    ASSERT_EQ(beam.next(nodes), 4U);
    EXPECT_EQ(nodes[0].row, 75);
    EXPECT_EQ(nodes[1].row, 5);
    EXPECT_EQ(beam.next(nodes), 3U);
    EXPECT_EQ(nodes[2].row, 0);
    EXPECT_EQ(beam.next(nodes), 0U);
    beam.for_likely([](std::int64_t row) { EXPECT_LT(row, 10); });
  }
}

TEST(Beam, GoesOnFromTheBestOfWhatItKeeps) {
  for (const std::size_t spare : {2, 200}) {
    Beam beam(1);
    beam.set_widths(2, 2 + spare);
    for (const std::int64_t row : {1, 2, 3, 4, 5}) beam.offer({static_cast<float>(row), row});
    ASSERT_EQ(beam.size(), std::min<std::size_t>(5, 2 + spare));
    EXPECT_EQ(beam[3].row, 2);
    EXPECT_EQ(next_of(beam), 5);
    EXPECT_EQ(next_of(beam), 4);
    EXPECT_EQ(next_of(beam), -1);
    beam.offer({4.5F, 6});  // the second best now
    EXPECT_EQ(next_of(beam), 6);
    EXPECT_EQ(next_of(beam), -1);
  }
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
