#include "index/kernels/weighted_sum.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "tests/index/instruction_sets.h"

namespace vitrine::index {
namespace {

class WeightedSum : public testing::TestWithParam<InstructionSet> {};

/// sum: of rows of so many elements.
void expect_those_of_double_precision(void (*sum)(const float* weights, const float* rows,
                                                  std::size_t count, float* out),
                                      std::size_t row) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const std::size_t count : {0, 1, 2, 3, 4, 5, 64, 96, 513}) {
    // They end where their allocations end, so that a read past the end shows under ASan.
    std::vector<float> weights(count);
    std::vector<float> rows(count * row);
    for (float& value : weights) value = normal(random);
    for (float& value : rows) value = normal(random);
    std::vector<float> sums(kSummedRow, NAN);
    sum(weights.data(), rows.data(), count, sums.data());
    for (std::size_t j = row; j < kSummedRow; ++j) EXPECT_EQ(sums[j], 0);
    for (std::size_t j = 0; j < row; ++j) {
      double expected = 0;
      double magnitude = 0;
      for (std::size_t i = 0; i < count; ++i) {
        const double product = static_cast<double>(weights[i]) * rows[i * row + j];
        expected += product;
        magnitude += std::abs(product);
      }
      EXPECT_NEAR(sums[j], expected, magnitude * static_cast<double>(count + 1) * 0x1p-24) << count;
    }
  }
}

TEST_P(WeightedSum, IsThatOfDoublePrecisionWithinRounding) {
  const WeightedSumKernel& kernel = weighted_sum_kernel(GetParam());
  expect_those_of_double_precision(kernel.sum, kSummedRow);
  expect_those_of_double_precision(kernel.narrow_sum, kNarrowSummedRow);
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, WeightedSum, every_instruction_set(), name_of_set);

}  // namespace
}  // namespace vitrine::index
