#include "encoder/cpu/product_rows.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <vector>

namespace vitrine::encoder::cpu {
namespace {

class Rows : public testing::TestWithParam<bool> {};

INSTANTIATE_TEST_SUITE_P(Layouts, Rows, testing::Bool(), [](const auto& tiles) {
  return std::string(tiles.param ? "Tiles" : "OneAfterTheOther");
});

TEST_P(Rows, AreFoundWhereTheLayoutSays) {
  constexpr int kRows = 37, kColumns = 100;
  ProductRows<BFloat16> rows(kRows, kColumns, GetParam());
  std::vector<BFloat16> values(kColumns);
  for (int row = 0; row < kRows; ++row) {
    std::iota(values.begin(), values.end(), static_cast<BFloat16>(row * kColumns));
    rows.write(row, values);
  }
  rows.copy_row(36, 5);
  const RowLayout& layout = rows.layout();
  for (int row = 0; row < kRows; ++row) {
    const BFloat16* first = rows.row(row / kTileRows * kTileRows) +
                            static_cast<std::size_t>(row % kTileRows) * layout.row_stride;
    for (int column = 0; column < kColumns; ++column) {
      const int expected = (row == 5 ? 36 : row) * kColumns + column;
      EXPECT_EQ(first[static_cast<std::size_t>(column / 32) * layout.line_stride +
                      static_cast<std::size_t>(column % 32)],
                expected);
      EXPECT_EQ(*rows.at(row, column), expected);
    }
  }
  EXPECT_EQ(rows.row(16) - rows.row(0), static_cast<std::ptrdiff_t>(layout.group_stride));
}

TEST_P(Rows, OfARunLieTheSameDistanceApart) {
  ProductRows<std::uint8_t> rows(60, 70, GetParam());
  std::vector<const std::uint8_t*> found;
  int runs = 0;
  rows.for_each_run(13, 40, 64, [&](int first, int count, const std::uint8_t* out) {
    EXPECT_EQ(static_cast<std::size_t>(first), found.size());
    for (int i = 0; i < count; ++i) {
      found.push_back(out + static_cast<std::size_t>(i) * rows.layout().row_stride);
    }
    ++runs;
  });
  ASSERT_EQ(found.size(), 40);
  for (int i = 0; i < 40; ++i) EXPECT_EQ(found[static_cast<std::size_t>(i)], rows.at(13 + i, 64));
  EXPECT_EQ(runs, GetParam() ? 4 : 1);  // 13 to 15, 16 to 31, 32 to 47, 48 to 52
}

}  // namespace
}  // namespace vitrine::encoder::cpu
