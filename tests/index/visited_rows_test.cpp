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

}  // namespace
}  // namespace vitrine::index
