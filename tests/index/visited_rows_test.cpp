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

TEST(VisitedRowsPool, LendsEachWalkASetOfItsOwnAndEmpty) {
  VisitedRowsPool pool(2);
  {
    auto first = pool.borrow();
    auto second = pool.borrow();
    EXPECT_TRUE(first->visit(1));
    EXPECT_TRUE(second->visit(1));
  }
  auto third = pool.borrow();
  EXPECT_TRUE(third->visit(1));
}

}  // namespace
}  // namespace vitrine::index
