#include "encoder/cpu/block_float_linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/encoder/layer.h"

namespace vitrine::encoder::cpu {
namespace {

class BlockFloatLayer : public testing::TestWithParam<KernelSet> {
 protected:
  const Kernels& k() const { return kernels(GetParam()); }

  float normal() { return normal_(random_); }
  Matrix random_rows(std::size_t rows, std::size_t columns) {
    Matrix values(rows, columns);
    for (std::size_t i = 0; i < rows * columns; ++i) values.data()[i] = normal();
    return values;
  }
  Layer random_layer(std::size_t outputs, std::size_t inputs) {
    Layer layer{random_rows(outputs, inputs), std::vector<float>(outputs)};
    for (float& value : layer.bias) value = normal();
    return layer;
  }

  Matrix multiply(const BlockFloatLinear& linear, const Matrix& x) const {
    const auto count = static_cast<int>(x.rows());
    BlockFloatRows rows(k(), count, linear.inputs() + 100);
    for (int row = 0; row < count; ++row) {
      linear.write_row(k(), x.row(static_cast<std::size_t>(row)).data(), row, rows);
    }
    Matrix y(x.rows(), static_cast<std::size_t>(linear.outputs()));
    linear.multiply(
        k(), rows, {0, count}, 0, linear.panels(), nullptr,
        [&](int row, int block, int column, int columns, const float* sums, const float* bias) {
          for (int r = 0; r < block; ++r) {
            for (int i = 0; i < columns; ++i) {
              y.row(static_cast<std::size_t>(row + r))[static_cast<std::size_t>(column + i)] =
                  sums[r * kPanelColumns + i] + bias[i];
            }
          }
        });
    return y;
  }

 private:
  std::mt19937 random_{17};
  std::normal_distribution<float> normal_;
};

INSTANTIATE_TEST_SUITE_P(Sets, BlockFloatLayer, testing::ValuesIn(supported_kernel_sets()),
                         [](const auto& set) { return std::string(to_string(set.param)); });

// A bfloat16 layer is off by 0.002.
TEST_P(BlockFloatLayer, IsWithinAFewTenThousandthsOfFloat64) {
  for (const auto& [outputs, inputs] : {std::pair{96, 256}, {70, 45}, {5, 64}, {33, 200}}) {
    const Layer layer =
        random_layer(static_cast<std::size_t>(outputs), static_cast<std::size_t>(inputs));
    const BlockFloatLinear linear(k(), layer.weights, layer.bias);
    for (const std::size_t rows : {std::size_t{1}, std::size_t{16}, std::size_t{100}}) {
      const Matrix x = random_rows(rows, static_cast<std::size_t>(inputs));
      EXPECT_LT(relative_error(layer, x, multiply(linear, x)), 0.0003)
          << outputs << " x " << inputs << ", " << rows << " rows";
    }
  }
}

TEST_P(BlockFloatLayer, LosesOneBlockToAnOutlierAndNoOther) {
  Layer layer = random_layer(40, 4 * kBlockDepth);
  Matrix x = random_rows(20, layer.weights.cols());
  for (std::size_t row = 0; row < x.rows(); ++row) x.row(row)[3] = 1e6F;
  // Of the outlier itself nothing is seen, so that what is lost of the others shows.
  for (std::size_t out = 0; out < layer.bias.size(); ++out) layer.weights.row(out)[3] = 0;
  const BlockFloatLinear linear(k(), layer.weights, layer.bias);
  const double error = relative_error(layer, x, multiply(linear, x));
  EXPECT_GT(error, 0.3);
  EXPECT_LT(error, 0.6) << "a quarter of the power is a half of its root";
}

TEST_P(BlockFloatLayer, HasRoomForTheSumsOfEqualWeightsAndInputs) {
  for (const float sign : {1.0F, -1.0F}) {
    Layer layer = random_layer(2, 3 * kBlockDepth);
    for (std::size_t i = 0; i < layer.weights.cols(); ++i) {
      layer.weights.row(0)[i] = 0.25F;
      layer.weights.row(1)[i] = i == 5 ? 7.0F : 1e-6F;
    }
    Matrix x(1, layer.weights.cols());
    std::fill_n(x.data(), x.cols(), 1.5F * sign);
    EXPECT_LT(relative_error(layer, x, multiply({k(), layer.weights, layer.bias}, x)), 0.0003);
  }
}

TEST_P(BlockFloatLayer, GivesARowTheSameBitsAloneAndAmongOthers) {
  const Layer layer = random_layer(40, 300);
  const BlockFloatLinear linear(k(), layer.weights, layer.bias);
  const Matrix x = random_rows(61, 300);
  const Matrix together = multiply(linear, x);
  for (std::size_t row = 0; row < x.rows(); ++row) {
    Matrix one(1, x.cols());
    std::ranges::copy(x.row(row), one.data());
    EXPECT_TRUE(std::ranges::equal(multiply(linear, one).row(0), together.row(row))) << row;
  }
}

TEST_P(BlockFloatLayer, OfWeightsOrRowsThatAreNotFiniteGivesNoNumber) {
  Layer layer = random_layer(3, 2 * kBlockDepth + 20);
  Matrix x = random_rows(3, layer.weights.cols());
  x.row(1)[kBlockDepth + 4] = INFINITY;
  x.row(2)[7] = NAN;
  layer.weights.row(2)[7] = NAN;
  const Matrix y = multiply({k(), layer.weights, layer.bias}, x);
  EXPECT_TRUE(std::isfinite(y.row(0)[0]) && std::isfinite(y.row(0)[1]));
  EXPECT_TRUE(std::isnan(y.row(0)[2]));
  for (const float value : y.row(1)) EXPECT_TRUE(std::isnan(value));
  for (const float value : y.row(2)) EXPECT_TRUE(std::isnan(value));
}

TEST_P(BlockFloatLayer, OfZerosIsTheBias) {
  const Layer layer = random_layer(3, 40);
  const Matrix of_zeros = multiply({k(), layer.weights, layer.bias}, Matrix(2, 40));
  EXPECT_TRUE(std::ranges::equal(of_zeros.row(1), layer.bias));
  const Matrix by_zeros = multiply({k(), Matrix(3, 40), layer.bias}, random_rows(2, 40));
  EXPECT_TRUE(std::ranges::equal(by_zeros.row(1), layer.bias));
}

}  // namespace
}  // namespace vitrine::encoder::cpu
