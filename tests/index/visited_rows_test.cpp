#include "index/visited_rows.h"

#include <gtest/gtest.h>

namespace vitrine::index {
namespace {

TEST(VisitedRows, ForgetsEvenWhenItsCounterStartsAnew) {
  VisitedRows visited(3);
  visited.forget_all();
  EXPECT_TRUE(visited.visit(0));
  for (int walk = 0; walk < 70000; ++walk) {
    visited.forget_all();
    ASSERT_TRUE(visited.visit(1)) << walk;
    ASSERT_FALSE(visited.visit(1)) << walk;
    if (walk % 65535 == 65534) {
      ASSERT_TRUE(visited.visit(0)) << walk;
    }
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
