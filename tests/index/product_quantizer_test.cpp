#include "index/product_quantizer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

/// What a vector's codes say of it.
std::vector<double> decoded(const ProductQuantizer& quantizer, const std::uint8_t* codes,
                            std::size_t dimension) {
  std::vector<double> vector(dimension, 0.0);
  const std::size_t width = quantizer.width();
  for (std::size_t i = 0; i < quantizer.order().size(); ++i) {
    if (quantizer.order()[i] < 0) continue;
    vector[static_cast<std::size_t>(quantizer.order()[i])] =
        quantizer.centroids()[i * kTableEntries + codes[i / width]];
  }
  return vector;
}

double lost(const ProductQuantizer& quantizer, const Matrix& vectors) {
  double sum = 0;
  std::vector<std::uint8_t> codes(quantizer.tables());
  for (std::size_t i = 0; i < vectors.rows(); ++i) {
    quantizer.encode(vectors.row(i).data(), codes.data());
    const std::vector<double> copy = decoded(quantizer, codes.data(), vectors.cols());
    for (std::size_t j = 0; j < copy.size(); ++j) {
      sum += (copy[j] - vectors.row(i)[j]) * (copy[j] - vectors.row(i)[j]);
    }
  }
  return sum / static_cast<double>(vectors.rows());
}

TEST(ProductQuantizer, DealsOutEachDimensionOnce) {
  for (const std::size_t cols : {1, 2, 3, 7, 50, 64}) {
    const Matrix vectors = clustered_vectors(100, cols, 1);
    for (const std::size_t tables : {2, 8, 24}) {
      if (tables > cols + 1) continue;
      const auto quantizer = ProductQuantizer::learn(vectors, tables);
      EXPECT_EQ(quantizer.order().size(), tables * quantizer.width());
      std::vector<std::int32_t> seen;
      for (const std::int32_t dimension : quantizer.order()) {
        if (dimension >= 0) seen.push_back(dimension);
      }
      std::sort(seen.begin(), seen.end());
      ASSERT_EQ(seen.size(), cols);
      for (std::size_t i = 0; i < cols; ++i) EXPECT_EQ(seen[i], static_cast<std::int32_t>(i));
    }
  }
}

TEST(ProductQuantizer, GivesTheDimensionsThatVaryMostSubQuantisersOfTheirOwn) {
  Matrix vectors = clustered_vectors(500, 32, 1);
  for (std::size_t i = 0; i < vectors.rows(); ++i) {
    for (std::size_t j = 0; j < 32; ++j) vectors.row(i)[j] *= j < 8 ? 1.0F : 0.01F;
  }
  const auto quantizer = ProductQuantizer::learn(vectors, 8);
  for (std::size_t table = 0; table < 8; ++table) {
    const auto* own = quantizer.order().data() + table * quantizer.width();
    EXPECT_EQ(std::count_if(own, own + quantizer.width(), [](auto at) { return at < 8; }), 1);
  }
}

TEST(ProductQuantizer, LosesLessTheMoreSubQuantisersItHas) {
  const Matrix vectors = clustered_vectors(1500, 48, 1);
  double last = 1.0;
  for (const std::size_t tables : {4, 12, 24, 48}) {
    const double now = lost(ProductQuantizer::learn(vectors, tables), vectors);
    EXPECT_LT(now, 0.85 * last) << tables;
    last = now;
  }
  EXPECT_LT(last, 0.02);
}

TEST(ProductQuantizer, EncodesTheNearestCentroid) {
  const Matrix vectors = clustered_vectors(400, 21, 1);
  const auto quantizer = ProductQuantizer::learn(vectors, 8);
  std::vector<std::uint8_t> codes(8);
  const std::size_t width = quantizer.width();
  for (std::size_t i = 0; i < 50; ++i) {
    quantizer.encode(vectors.row(i).data(), codes.data());
    for (std::size_t table = 0; table < 8; ++table) {
      double distances[kTableEntries] = {};
      for (std::size_t at = table * width; at < (table + 1) * width; ++at) {
        const std::int32_t dimension = quantizer.order()[at];
        const double value =
            dimension < 0 ? 0.0F : vectors.row(i)[static_cast<std::size_t>(dimension)];
        for (std::size_t entry = 0; entry < kTableEntries; ++entry) {
          const double difference = value - quantizer.centroids()[at * kTableEntries + entry];
          distances[entry] += difference * difference;
        }
      }
      EXPECT_NEAR(distances[codes[table]], *std::min_element(distances, distances + kTableEntries),
                  1e-6);
    }
  }
}

TEST(ProductQuantizer, TablesSayWhatTheCodesSayWithinTheirRounding) {
  const Matrix vectors = clustered_vectors(800, 40, 1);
  const Matrix queries = clustered_vectors(10, 40, 2);
  const auto quantizer = ProductQuantizer::learn(vectors, 20);
  std::vector<std::uint8_t> codes(20);
  for (std::size_t query = 0; query < queries.rows(); ++query) {
    const ProductTables tables = quantizer.tables_for(queries.row(query).data());
    for (std::size_t i = 0; i < 100; ++i) {
      quantizer.encode(vectors.row(i).data(), codes.data());
      const std::vector<double> copy = decoded(quantizer, codes.data(), 40);
      double expected = 0;
      for (std::size_t j = 0; j < 40; ++j) expected += copy[j] * queries.row(query)[j];
      std::size_t sum = 0;
      for (std::size_t table = 0; table < 20; ++table) {
        sum += tables.entries[table * kTableEntries + codes[table]];
      }
      // Each entry is rounded by half a step.
      EXPECT_NEAR(tables.least + tables.step * static_cast<double>(sum), expected,
                  0.51 * tables.step * 20);
    }
  }
}

TEST(ProductQuantizer, TakesEqualVectorsAndTheQueryZero) {
  Matrix vectors(40, 6);
  for (std::size_t i = 0; i < 40; ++i) vectors.row(i)[2] = 1;
  const auto quantizer = ProductQuantizer::learn(vectors, 4);
  EXPECT_EQ(lost(quantizer, vectors), 0.0);
  const std::vector<float> zero(6, 0.0F);
  const ProductTables tables = quantizer.tables_for(zero.data());
  EXPECT_EQ(tables.least, 0.0F);
  EXPECT_EQ(tables.entries, std::vector<std::uint8_t>(4 * kTableEntries, 0));
}

}  // namespace
}  // namespace vitrine::index
