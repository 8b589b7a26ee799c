#include "index/kernels/weighted_sum.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace vitrine::index {
namespace {

class WeightedSum : public testing::TestWithParam<InstructionSet> {};

TEST_P(WeightedSum, IsThatOfDoublePrecisionWithinRounding) {
  const WeightedSumKernel& kernel = weighted_sum_kernel(GetParam());
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const std::size_t count : {0, 1, 2, 3, 64, 96, 513}) {
    // They end where their allocations end, so that a read past the end shows under ASan.
    std::vector<float> weights(count);
    std::vector<float> rows(count * kSummedRow);
    for (float& value : weights) value = normal(random);
    for (float& value : rows) value = normal(random);
    std::vector<float> sums(kSummedRow, NAN);
    kernel.sum(weights.data(), rows.data(), count, sums.data());
    for (std::size_t j = 0; j < kSummedRow; ++j) {
      double sum = 0;
      double magnitude = 0;
      for (std::size_t i = 0; i < count; ++i) {
        const double product = static_cast<double>(weights[i]) * rows[i * kSummedRow + j];
        sum += product;
        magnitude += std::abs(product);
      }
      EXPECT_NEAR(sums[j], sum, magnitude * static_cast<double>(count + 1) * 0x1p-24) << count;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, WeightedSum,
                         testing::ValuesIn(supported_instruction_sets()),
                         [](const auto& set) { return std::string(to_string(set.param)); });

}  // namespace
}  // namespace vitrine::index
