#include "index/visited_rows.h"

#include <gtest/gtest.h>

namespace vitrine::index {
namespace {

TEST(VisitedRows, KnowsWhatItSawUntilItForgets) {
  VisitedRows visited(200);
  for (int walk = 0; walk < 3; ++walk) {
    for (const std::size_t row : {0, 1, 63, 64, 127, 199}) {
      EXPECT_TRUE(visited.visit(row)) << row;
      EXPECT_FALSE(visited.visit(row)) << row;
    }
    visited.forget_all();
  }
}

TEST(VisitedRows, ForgetsHoweverManyWalksThereWere) {
  VisitedRows visited(3);
  ASSERT_TRUE(visited.visit(0));
  for (int walk = 0; walk < 1000; ++walk) {
    visited.forget_all();
    ASSERT_TRUE(visited.visit(1)) << walk;
    ASSERT_FALSE(visited.visit(1)) << walk;
    VisitedRows unvisited = visited;  // so that nothing else refreshes these rows
    ASSERT_TRUE(unvisited.visit(0)) << walk;
    ASSERT_TRUE(unvisited.visit(2)) << walk;
  }
}

TEST(VisitedRows, KeepsNewRowsInOrder) {
  VisitedRows visited(130);
  const std::vector<std::int32_t> first = {129, 0, 64, 0, 129, 63};
  std::vector<std::int32_t> kept(first.size());
  ASSERT_EQ(visited.keep_new(std::span<const std::int32_t>(first), kept.data()), 4U);
  kept.resize(4);
  EXPECT_EQ(kept, (std::vector<std::int32_t>{129, 0, 64, 63}));
  std::vector<std::int32_t> rows = {63, 1, 64};  // in place
  ASSERT_EQ(visited.keep_new(std::span<const std::int32_t>(rows), rows.data()), 1U);
  EXPECT_EQ(rows[0], 1);
  visited.forget_all();
  EXPECT_TRUE(visited.visit(129));
}

TEST(VisitedRows, HasRoomForEveryRow) {
  VisitedRows visited(200);
  for (int walk = 0; walk < 2; ++walk) {
    for (std::size_t row = 0; row < 200; ++row) EXPECT_TRUE(visited.visit(row));
    for (std::size_t row = 0; row < 200; ++row) EXPECT_FALSE(visited.visit(row));
    visited.forget_all();
  }
}

}  // namespace
}  // namespace vitrine::index
