#include "index/kernels/byte_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "tests/index/instruction_sets.h"

namespace vitrine::index {
namespace {

class ByteWeightsSplit : public testing::TestWithParam<InstructionSet> {
 protected:
  const ByteWeightsKernel& kernel_ = byte_weights_kernel(GetParam());
};

TEST_P(ByteWeightsSplit, SaysWhatItLosesOfTheElements) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const float size : {1.0F, 1e-3F, 1e-12F, 1e6F}) {
    for (int round = 0; round < 50; ++round) {
      std::vector<float> elements(kByteRow);
      for (float& element : elements) element = size * normal(random);
      ByteWeights weights;
      const ByteWeightsLoss loss = kernel_.split(elements.data(), weights);
      double square = 0;
      double lost_square = 0;
      double rough_lost_square = 0;
      double largest = 0;
      for (std::size_t i = 0; i < kByteRow; ++i) {
        ASSERT_LE(std::abs(weights.high[i]), kMostByteWeight);
        ASSERT_LE(std::abs(weights.low[i]), kMostByteWeight);
        const double step = weights.step;
        const double roughly_lost = elements[i] - step * weights.high[i];
        const double lost = roughly_lost - step * weights.low[i] / ByteWeights::kLowSteps;
        EXPECT_LE(std::abs(roughly_lost), 0.5001 * step);
        EXPECT_LE(std::abs(lost), 0.501 * step / ByteWeights::kLowSteps);
        square += static_cast<double>(elements[i]) * elements[i];
        lost_square += lost * lost;
        rough_lost_square += roughly_lost * roughly_lost;
        largest = std::max<double>(largest, std::abs(elements[i]));
      }
      EXPECT_EQ(loss.largest, largest);
      EXPECT_NEAR(loss.square, square, 1e-5 * square);
      EXPECT_NEAR(loss.rough_lost_square, rough_lost_square, 1e-4 * rough_lost_square);
      EXPECT_NEAR(std::sqrt(loss.lost_square), std::sqrt(lost_square), 1e-6 * largest);
      EXPECT_EQ(weights.high_sum, std::accumulate(weights.high.begin(), weights.high.end(), 0));
      EXPECT_EQ(weights.low_sum, std::accumulate(weights.low.begin(), weights.low.end(), 0));
    }
  }
}

TEST_P(ByteWeightsSplit, RoundsToHighBytesAlone) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (const int most : {1, kMostByteWeight, 127}) {
    std::vector<float> elements(kByteRow);
    for (float& element : elements) element = normal(random);
    RoundedWeights weights;
    const ByteWeightsLoss loss = kernel_.round(elements.data(), most, weights);
    double square = 0;
    double lost_square = 0;
    float largest = 0;
    int largest_weight = 0;
    for (std::size_t i = 0; i < kByteRow; ++i) {
      const double lost = elements[i] - double{weights.step} * weights.weights[i];
      EXPECT_LE(std::abs(lost), 0.5001 * weights.step);
      square += static_cast<double>(elements[i]) * elements[i];
      lost_square += lost * lost;
      largest = std::max(largest, std::abs(elements[i]));
      largest_weight = std::max(largest_weight, std::abs(int{weights.weights[i]}));
    }
    EXPECT_EQ(largest_weight, most);
    EXPECT_EQ(loss.largest, largest);
    EXPECT_NEAR(loss.square, square, 1e-5 * square);
    EXPECT_NEAR(loss.rough_lost_square, lost_square, 1e-4 * lost_square);
  }
}

TEST_P(ByteWeightsSplit, TakesElementsOfNoLengthForZero) {
  for (const float element : {0.0F, 1e-38F}) {
    const std::vector<float> elements(kByteRow, element);
    ByteWeights weights;
    weights.high.fill(1);
    weights.low.fill(1);
    const ByteWeightsLoss loss = kernel_.split(elements.data(), weights);
    for (std::size_t i = 0; i < kByteRow; ++i) {
      EXPECT_EQ(weights.high[i], 0);
      EXPECT_EQ(weights.low[i], 0);
    }
    EXPECT_EQ(weights.high_sum, 0);
    EXPECT_EQ(weights.low_sum, 0);
    EXPECT_TRUE(std::isfinite(loss.rough_lost_square));
    RoundedWeights rounded;
    rounded.weights.fill(1);
    EXPECT_TRUE(std::isfinite(kernel_.round(elements.data(), 127, rounded).rough_lost_square));
    EXPECT_EQ(rounded.weights, decltype(rounded.weights){});
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, ByteWeightsSplit, every_instruction_set(), name_of_set);

}  // namespace
}  // namespace vitrine::index
