#include "index/kernels/code_dot.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/index/instruction_sets.h"

namespace vitrine::index {
namespace {

class CodeDot : public testing::TestWithParam<InstructionSet> {
 protected:
  const CodeDotKernel& kernel_ = code_dot_kernel(GetParam());
};

std::int64_t reference(const std::int8_t* query, const std::uint8_t* row, std::size_t width) {
  std::int64_t sum = 0;
  for (std::size_t element = 0; element < 2 * width; ++element) {
    const std::uint8_t both = row[element / 128 * 64 + element % 64];
    sum += std::int64_t{query[element]} * (element % 128 < 64 ? both % 16 : both / 16);
  }
  return sum;
}

TEST_P(CodeDot, IsExactAtEveryWidthHoweverARowIsReached) {
  std::mt19937 random(1);
  for (const std::size_t width : {64, 128, 192, 256, 384, 512}) {
    for (const std::size_t count : {1, 2, 3, 4, 5, 11}) {
      // They end where their allocations end, so that a read past the end shows under ASan.
      std::vector<std::int8_t> query(2 * width);
      std::vector<std::uint8_t> rows(count * width);
      std::vector<std::uint8_t> lower_rows(count * width);
      for (auto& value : query) value = static_cast<std::int8_t>(random());
      for (auto& value : rows) value = static_cast<std::uint8_t>(random());
      for (auto& value : lower_rows) value = static_cast<std::uint8_t>(random());
      std::vector<std::int32_t> places;
      for (std::size_t i = 0; i < count; ++i) {
        places.push_back(static_cast<std::int32_t>((i * 7 + 3) % count));
      }
      std::vector<std::int32_t> contiguous(count);
      std::vector<std::int32_t> gathered(count);
      std::vector<std::int32_t> whole(count);
      kernel_.contiguous(query.data(), rows.data(), count, width, contiguous.data());
      kernel_.gathered(query.data(), rows.data(), places.data(), count, width, gathered.data());
      kernel_.gathered_whole(query.data(), rows.data(), lower_rows.data(), places.data(), count,
                             width, whole.data());
      for (std::size_t i = 0; i < count; ++i) {
        EXPECT_EQ(contiguous[i], reference(query.data(), rows.data() + i * width, width));
        const auto place = static_cast<std::size_t>(places[i]);
        const std::int64_t upper = reference(query.data(), rows.data() + place * width, width);
        EXPECT_EQ(gathered[i], upper);
        EXPECT_EQ(whole[i],
                  16 * upper + reference(query.data(), lower_rows.data() + place * width, width));
      }
    }
  }
}

TEST_P(CodeDot, IsExactWhereProductsAreLargest) {
  for (const int weight : {-128, 127}) {
    const std::vector<std::int8_t> query(2 * kMaxCodeWidth, static_cast<std::int8_t>(weight));
    const std::vector<std::uint8_t> row(kMaxCodeWidth, 255);
    std::int32_t product = 0;
    kernel_.contiguous(query.data(), row.data(), 1, kMaxCodeWidth, &product);
    const std::int64_t expected = reference(query.data(), row.data(), kMaxCodeWidth);
    EXPECT_EQ(product, expected);
    const std::int32_t place = 0;
    kernel_.gathered_whole(query.data(), row.data(), row.data(), &place, 1, kMaxCodeWidth,
                           &product);
    EXPECT_EQ(product, 17 * expected);
  }
}

TEST_P(CodeDot, IsExactForQueriesThatZerosFillUp) {
  std::mt19937 random(2);
  constexpr std::size_t kCount = 13;
  for (const std::size_t elements : {1, 64, 95, 96, 97, 127}) {
    std::vector<std::int8_t> query(2 * kCodeAlignment);
    std::vector<std::uint8_t> rows(kCount * kCodeAlignment);
    for (std::size_t i = 0; i < elements; ++i) query[i] = static_cast<std::int8_t>(random());
    query[elements - 1] = 1;
    for (auto& value : rows) value = static_cast<std::uint8_t>(random());
    std::vector<std::int32_t> products(kCount);
    kernel_.contiguous(query.data(), rows.data(), kCount, kCodeAlignment, products.data());
    for (std::size_t i = 0; i < kCount; ++i) {
      EXPECT_EQ(products[i],
                reference(query.data(), rows.data() + i * kCodeAlignment, kCodeAlignment))
          << elements << ' ' << i;
    }
  }
}

TEST_P(CodeDot, TellsWhichRowsReachABound) {
  std::mt19937 random(3);
  const auto number = [&] { return static_cast<float>(random() % 2000) / 1000 - 1; };
  std::size_t reached = 0;
  std::size_t missed = 0;
  for (const std::size_t count : {0, 1, 7, 8, 9, 16, 63, 64}) {
    const ProductBound bound = {number(), number() / 100, static_cast<std::int32_t>(random() % 99),
                                number(), number(),       number()};
    std::vector<std::int32_t> products(count);
    std::vector<float> scales(count);
    std::vector<float> errors(count);
    for (std::size_t i = 0; i < count; ++i) {
      products[i] = static_cast<std::int32_t>(random() % 400) - 200;
      scales[i] = number();
      errors[i] = number();
    }
    const std::uint64_t reaching =
        kernel_.reaching(bound, products.data(), scales.data(), errors.data(), count);
    for (std::size_t i = 0; i < kMostReaching; ++i) {
      const bool told = (reaching >> i & 1) != 0;
      if (i >= count) {
        EXPECT_FALSE(told) << count << ' ' << i;
        continue;
      }
      const double most = bound.base +
                          double{scales[i]} * bound.factor * (2.0 * products[i] - bound.bias) +
                          double{bound.length} * errors[i] + bound.slack;
      if (std::abs(most - bound.enough) < 1e-5) continue;  // rounding may tell either
      EXPECT_EQ(told, most > bound.enough) << count << ' ' << i;
      ++(told ? reached : missed);
    }
  }
  EXPECT_GT(reached, 20U);
  EXPECT_GT(missed, 20U);
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, CodeDot, every_instruction_set(), name_of_set);

}  // namespace
}  // namespace vitrine::index
