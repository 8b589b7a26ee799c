#include "engine/result_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/error.h"

namespace vitrine::engine {
namespace {

/// Rows 0, 1, ... with scores that fall, every second one equal to the one before.
RankRows falling(std::size_t rows, std::vector<std::size_t>* asked = nullptr) {
  return [rows, asked](std::size_t k) {
    if (asked != nullptr) asked->push_back(k);
    std::vector<RankedRow> ranking;
    for (std::size_t row = 0; row < std::min(k, rows); ++row) {
      ranking.push_back({row, 1 - 0.01F * static_cast<float>(row / 2)});
    }
    return ranking;
  };
}

std::vector<std::size_t> rows_of(const Page& page) {
  std::vector<std::size_t> rows;
  for (const RankedRow& hit : page.hits) rows.push_back(hit.row);
  return rows;
}

PageRequest request_of(std::size_t limit) {
  PageRequest request;
  request.limit = limit;
  request.generation = 7;
  return request;
}

TEST(TakePage, SaysWhetherMoreFollows) {
  EXPECT_TRUE(take_page(request_of(4), 100, falling(5)).more);
  EXPECT_FALSE(take_page(request_of(5), 100, falling(5)).more);
  EXPECT_EQ(rows_of(take_page(request_of(3), 100, falling(5))),
            (std::vector<std::size_t>{0, 1, 2}));
}

TEST(TakePage, PagesTogetherAreTheRanking) {
  std::vector<std::size_t> all;
  std::optional<Cursor> cursor;
  bool more = true;
  while (more) {
    PageRequest request = request_of(7);
    request.without = {3, 20};
    request.after = cursor ? &*cursor : nullptr;
    const Page page = take_page(request, 1000, falling(53));
    for (const std::size_t row : rows_of(page)) all.push_back(row);
    more = page.more;
    cursor = Cursor{1, 7, page.hits.back().row, page.hits.back().score};
    cursor = Cursor::parse(cursor->to_string());
  }
  ASSERT_EQ(all.size(), 51U);
  EXPECT_TRUE(std::ranges::is_sorted(all));
  EXPECT_EQ(std::ranges::adjacent_find(all), all.end());
}

TEST(TakePage, KeepsTheBestOfEachGroupAcrossPages) {
  std::vector<std::size_t> asked;
  const GroupsOf thirds = [](std::span<const std::size_t> rows) {
    std::vector<std::optional<std::string>> groups;
    for (const std::size_t row : rows) {
      groups.push_back(row % 10 == 9 ? std::nullopt : std::optional(std::to_string(row % 3)));
    }
    return groups;
  };
  PageRequest request = request_of(4);
  const Page first = take_page(request, 1000, falling(200, &asked), thirds);
  EXPECT_EQ(rows_of(first), (std::vector<std::size_t>{0, 1, 2, 9}));
  EXPECT_GT(asked.size(), 1U);  // five rows were not enough
  const Cursor cursor{0, 7, 9, first.hits.back().score};
  request.after = &cursor;
  EXPECT_EQ(rows_of(take_page(request, 1000, falling(200), thirds)),
            (std::vector<std::size_t>{19, 29, 39, 49}));
}

TEST(TakePage, EndsAtTheLeastScore) {
  PageRequest request = request_of(100);
  request.min_score = 0.975F;
  std::vector<std::size_t> asked;
  const Page page = take_page(request, 10000, falling(5000, &asked));
  EXPECT_EQ(rows_of(page), (std::vector<std::size_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_FALSE(page.more);
  EXPECT_EQ(asked.size(), 1U);
}

TEST(TakePage, ReachesNoDeeperThanItMay) {
  std::vector<std::size_t> asked;
  PageRequest request = request_of(10);
  const Cursor cursor{0, 7, 45, 1 - 0.01F * 22};
  request.after = &cursor;
  const Page page = take_page(request, 50, falling(5000, &asked));
  EXPECT_EQ(rows_of(page), (std::vector<std::size_t>{46, 47, 48, 49}));
  EXPECT_FALSE(page.more);
  EXPECT_LE(*std::ranges::max_element(asked), 50U);
}

TEST(Cursor, OfAnotherGenerationRepeatsNoHit) {
  const Cursor cursor{0, 6, 10, 0.5F};
  EXPECT_FALSE(cursor.is_before({11, 0.5F}, 7));
  EXPECT_TRUE(cursor.is_before({11, 0.5F}, 6));
  EXPECT_FALSE(cursor.is_before({10, 0.5F}, 6));
  EXPECT_TRUE(cursor.is_before({3, 0.49F}, 7));
  EXPECT_FALSE(cursor.is_before({3, 0.51F}, 6));
}

TEST(Cursor, IsBeforeNoRowThatCameLater) {
  // A product whose attributes change moves to a new row, with its score.
  const Cursor cursor{1, 6, 10, 0.5F, 20};
  EXPECT_TRUE(cursor.is_before({19, 0.5F}, 6));
  EXPECT_FALSE(cursor.is_before({20, 0.5F}, 6));
  EXPECT_TRUE(cursor.is_before({20, 0.49F}, 6));
  EXPECT_EQ(Cursor::parse(cursor.to_string()).rows, 20U);
}

TEST(Cursor, RefusesWhatIsNone) {
  const std::string good = Cursor{~0ULL, 3, 99, -0.25F}.to_string();
  EXPECT_EQ(Cursor::parse(good).score, -0.25F);
  EXPECT_EQ(Cursor::parse(good).query, ~0ULL);
  for (const std::string& text : {std::string(), std::string("1.2.3.4"), good + "0", good + ".1",
                                  "g" + good, std::string("1.2.3.7fc00000.5"),
                                  std::string("1.2.3.100000000.5"), std::string("-1.2.3.4.5")}) {
    EXPECT_THROW(Cursor::parse(text), Error) << text;
  }
}

}  // namespace
}  // namespace vitrine::engine
