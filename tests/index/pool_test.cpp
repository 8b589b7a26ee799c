#include "index/pool.h"

#include <gtest/gtest.h>

namespace vitrine::index {
namespace {

TEST(Pool, LendsEachBorrowerAnObjectOfItsOwnAndKeepsIt) {
  int made = 0;
  Pool<int> pool([&] { return std::make_unique<int>(made++); });
  {
    auto first = pool.borrow();
    auto second = pool.borrow();
    EXPECT_NE(&*first, &*second);
    *first = 10;
    *second = 20;
  }
  auto third = pool.borrow();
  auto fourth = pool.borrow();
  EXPECT_EQ(*third + *fourth, 30);
  EXPECT_EQ(made, 2);
}

}  // namespace
}  // namespace vitrine::index
