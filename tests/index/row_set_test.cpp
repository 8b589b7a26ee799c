#include "index/row_set.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

std::vector<std::size_t> members(const RowSet& set, std::size_t first, std::size_t last) {
  std::vector<std::size_t> rows;
  set.for_each(first, last, [&](std::size_t row) { rows.push_back(row); });
  std::vector<std::size_t> by_word;
  set.for_each_word(first, last, [&](std::size_t row, std::size_t count, std::uint64_t members) {
    EXPECT_NE(members, 0U);
    for (std::size_t i = 0; i < RowSet::kWordBits; ++i) {
      if ((members >> i & 1) == 0) continue;
      EXPECT_LT(i, count);
      by_word.push_back(row + i);
    }
  });
  EXPECT_EQ(by_word, rows);
  return rows;
}

TEST(RowSet, HoldsWhatASetWouldHold) {
  for (const std::size_t size : {1, 63, 64, 65, 200}) {
    std::mt19937 random(static_cast<std::uint32_t>(size));
    RowSet rows(size);
    std::set<std::size_t> model;
    for (int i = 0; i < 300; ++i) {
      const std::size_t row = random() % size;
      if (random() % 3 == 0) {
        rows.erase(row);
        model.erase(row);
      } else {
        rows.insert(row);
        model.insert(row);
      }
      const std::size_t first = random() % size;
      const std::size_t last = first + random() % (size - first + 1);
      EXPECT_EQ(members(rows, first, last),
                std::vector(model.lower_bound(first), model.lower_bound(last)));
      const RowSet part = rows.part(first, last - first);
      RowSet expected(last - first);
      for (const std::size_t member : members(rows, first, last)) expected.insert(member - first);
      EXPECT_EQ(part, expected);
    }
    EXPECT_EQ(rows.size(), size);
    EXPECT_EQ(rows.count(), model.size());
    for (std::size_t row = 0; row < size; ++row) EXPECT_EQ(rows.contains(row), model.count(row));
  }
}

TEST(RowSet, InvertsOnlyRowsThatExist) {
  for (const std::size_t size : {0, 1, 64, 70}) {
    RowSet rows(size);
    rows.invert();
    EXPECT_EQ(rows.count(), size);
    rows.invert();
    EXPECT_EQ(rows, RowSet(size));
  }
  RowSet rows(70);
  rows.set_word(1, ~std::uint64_t{0});
  EXPECT_EQ(rows.count(), 6U);
}

TEST(RowSet, CombinesWithOneOfItsSize) {
  RowSet twos(100);
  RowSet threes(100);
  for (std::size_t row = 0; row < 100; row += 2) twos.insert(row);
  for (std::size_t row = 0; row < 100; row += 3) threes.insert(row);
  RowSet both = twos;
  both &= threes;
  EXPECT_EQ(members(both, 0, 20), (std::vector<std::size_t>{0, 6, 12, 18}));
  RowSet either = twos;
  either |= threes;
  EXPECT_EQ(members(either, 0, 10), (std::vector<std::size_t>{0, 2, 3, 4, 6, 8, 9}));
  expect_error(ErrorCode::kInvalidArgument, "two sizes", [&] { both &= RowSet(99); });
  expect_error(ErrorCode::kInvalidArgument, "two sizes", [&] { both |= RowSet(101); });
}

}  // namespace
}  // namespace vitrine::index
