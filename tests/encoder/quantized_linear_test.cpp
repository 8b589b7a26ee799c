#include "encoder/cpu/quantized_linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "base/error.h"
#include "tests/encoder/layer.h"

namespace vitrine::encoder::cpu {
namespace {

Layer random_layer(std::size_t outputs, std::size_t inputs) {
  std::mt19937 random(13);
  std::normal_distribution<float> normal;
  Layer layer{Matrix(outputs, inputs), std::vector<float>(outputs)};
  for (std::size_t i = 0; i < outputs * inputs; ++i) layer.weights.data()[i] = normal(random);
  for (float& value : layer.bias) value = normal(random);
  return layer;
}

Matrix random_rows(std::size_t rows, std::size_t columns) {
  std::mt19937 random(14);
  std::normal_distribution<float> normal;
  Matrix values(rows, columns);
  for (std::size_t i = 0; i < rows * columns; ++i) values.data()[i] = normal(random);
  return values;
}

Matrix multiply(const Kernels& kernels, const QuantizedLinear<float>& linear, Matrix x) {
  QuantizedRows rows(kernels, static_cast<int>(x.rows()), linear.inputs() + 100);
  for (std::size_t row = 0; row < x.rows(); ++row) {
    linear.write_row(kernels, x.row(row).data(), static_cast<int>(row), rows);
  }
  Matrix y(x.rows(), static_cast<std::size_t>(linear.outputs()));
  linear.multiply(
      kernels, rows, {0, static_cast<int>(x.rows())}, 0, linear.panels(), nullptr,
      [&](int row, int count, int column, int columns, const float* sums, const float* bias) {
        for (int r = 0; r < count; ++r) {
          for (int i = 0; i < columns; ++i) {
            y.row(static_cast<std::size_t>(row + r))[static_cast<std::size_t>(column + i)] =
                sums[r * kPanelColumns + i] + bias[i];
          }
        }
      });
  return y;
}

class QuantizedLayer : public testing::TestWithParam<KernelSet> {
 protected:
  const Kernels& k() const { return kernels(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Sets, QuantizedLayer, testing::ValuesIn(supported_kernel_sets()),
                         [](const auto& set) { return std::string(to_string(set.param)); });

TEST_P(QuantizedLayer, IsWithinTwoPercentOfFloat64) {
  for (const auto& [outputs, inputs] : {std::pair{96, 256}, {70, 45}, {5, 64}}) {
    const Layer layer =
        random_layer(static_cast<std::size_t>(outputs), static_cast<std::size_t>(inputs));
    const QuantizedLinear<float> linear(k(), layer.weights, layer.bias, {});
    for (const std::size_t rows : {std::size_t{1}, std::size_t{16}, std::size_t{50}}) {
      const Matrix x = random_rows(rows, static_cast<std::size_t>(inputs));
      EXPECT_LT(relative_error(layer, x, multiply(k(), linear, x)), 0.02)
          << outputs << " x " << inputs << ", " << rows << " rows";
    }
  }
}

TEST_P(QuantizedLayer, KeepsOutliersFromSpoilingTheRest) {
  const Layer layer = random_layer(40, 128);
  Matrix x = random_rows(20, 128);
  for (std::size_t row = 0; row < x.rows(); ++row) {
    x.row(row)[3] *= 1000;
    x.row(row)[77] = x.row(row)[77] * 10 + 2000;
  }
  const auto error_without_the_outliers_themselves = [&](std::vector<int> outliers) {
    const QuantizedLinear<float> linear(k(), layer.weights, layer.bias, std::move(outliers));
    // What bfloat16 loses of the outliers is allowed: the same layer of nothing else has it too.
    Layer only = layer;
    Matrix only_x = x;
    for (std::size_t row = 0; row < x.rows(); ++row) {
      for (std::size_t i = 0; i < x.cols(); ++i) {
        if (i != 3 && i != 77) only_x.row(row)[i] = 0;
      }
    }
    std::ranges::fill(only.bias, 0.0F);
    const QuantizedLinear<float> big(k(), only.weights, only.bias, {3, 77});
    const Matrix all = multiply(k(), linear, x);
    const Matrix outliers_only = multiply(k(), big, only_x);
    Matrix rest_x = x, rest(all.rows(), all.cols());
    for (std::size_t row = 0; row < x.rows(); ++row) {
      rest_x.row(row)[3] = rest_x.row(row)[77] = 0;
      for (std::size_t out = 0; out < all.cols(); ++out) {
        rest.row(row)[out] = all.row(row)[out] - outliers_only.row(row)[out];
      }
    }
    return relative_error(layer, rest_x, rest);
  };
  EXPECT_LT(error_without_the_outliers_themselves({3, 77}), 0.02);
  EXPECT_GT(error_without_the_outliers_themselves({}), 0.5);
}

TEST_P(QuantizedLayer, OfWeightsOrRowsThatAreNotFiniteGivesNoNumber) {
  Layer layer = random_layer(3, 20);
  Matrix x = random_rows(2, 20);
  x.row(1)[4] = INFINITY;
  layer.weights.row(2)[7] = NAN;
  const QuantizedLinear<float> linear(k(), layer.weights, layer.bias, {});
  const Matrix y = multiply(k(), linear, x);
  EXPECT_TRUE(std::isfinite(y.row(0)[0]) && std::isfinite(y.row(0)[1]));
  EXPECT_TRUE(std::isnan(y.row(0)[2]));
  for (const float value : y.row(1)) EXPECT_TRUE(std::isnan(value));
}

TEST(QuantizedLinear, RefusesMoreInputsThanSumsHaveRoomFor) {
  const std::vector<float> bias(1);
  const Kernels& portable = kernels(KernelSet::kPortable);
  EXPECT_NO_THROW(QuantizedLinear<float>(portable, Matrix(1, kMaxInt8Depth), bias, {}));
  EXPECT_THROW(QuantizedLinear<float>(portable, Matrix(1, kMaxInt8Depth + 1), bias, {}), Error);
}

TEST(OutlierColumns, AreThoseThatReachThreeTimesAsFarAsMost) {
  ColumnSpread spread{std::vector<float>(100, 0.0F), std::vector<float>(100, 1.0F)};
  EXPECT_TRUE(outlier_columns(spread).empty());
  spread.deviation[7] = 2.9F;
  EXPECT_TRUE(outlier_columns(spread).empty());
  spread.deviation[7] = 3.1F;
  spread.mean[50] = -9.0F;
  EXPECT_EQ(outlier_columns(spread), (std::vector<int>{7, 50}));
  for (std::size_t i = 10; i < 49; ++i) spread.mean[i] = 1000 + static_cast<float>(i);
  const std::vector<int> columns = outlier_columns(spread);
  ASSERT_EQ(columns.size(), static_cast<std::size_t>(kMaxOutliers));
  EXPECT_EQ(columns.front(), 49 - kMaxOutliers);
  EXPECT_EQ(columns.back(), 48);
}

TEST(ColumnSpread, OfOutputsIsThatOfASumOfIndependentColumns) {
  Matrix weights(1, 2);
  weights.row(0)[0] = 3;
  weights.row(0)[1] = -4;
  const ColumnSpread spread =
      spread_of_outputs(weights, std::vector<float>{10.0F}, {{1.0F, 2.0F}, {1.0F, 0.5F}});
  EXPECT_FLOAT_EQ(spread.mean[0], 10 + 3 - 8);
  EXPECT_FLOAT_EQ(spread.deviation[0], std::sqrt(9.0F + 4.0F));
}

}  // namespace
}  // namespace vitrine::encoder::cpu
