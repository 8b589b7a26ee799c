#include "index/codes.h"

#include <gtest/gtest.h>

#include "index/kernels/code_dot.h"
#include "index/kernels/inner_product.h"
#include "index/rotation.h"
#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

/// Like CLIP's: all lie in one direction from the origin, and a few elements are far larger than
/// the rest.
Matrix embeddings_like_clip(std::size_t rows, std::size_t cols, std::uint32_t seed) {
  Matrix vectors = clustered_vectors(rows, cols, seed);
  for (std::size_t i = 0; i < rows; ++i) {
    const auto row = vectors.row(i);
    for (std::size_t column = 0; column < cols; column += 100) row[column] += 0.4F;
    row[cols / 3] *= 8;
    normalise(row);
  }
  return vectors;
}

double exact_product(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  }
  return sum;
}

TEST(Rotation, KeepsInnerProductsAndSpreadsALargeElement) {
  for (const std::size_t dimension : {1, 2, 3, 50, 64, 512, 768, 1000}) {
    Matrix vectors = clustered_vectors(2, dimension, 1);
    const double before = exact_product(vectors.row(0), vectors.row(1));
    const Rotation rotation(dimension);
    rotation.apply(vectors.row(0).data());
    rotation.apply(vectors.row(1).data());
    EXPECT_NEAR(exact_product(vectors.row(0), vectors.row(1)), before, 2.1 * rotation.rounding());
    std::vector<float> one(dimension, 0.0F);
    one[dimension / 2] = 1;
    rotation.apply(one.data());
    for (const float value : one) {
      EXPECT_LE(std::abs(value), 5.0 / std::sqrt(static_cast<double>(dimension)) + 1e-6);
    }
  }
}

TEST(CodeTable, SaysHowFarItsScoresAreFromTheKernels) {
  for (const std::size_t dimension : {1, 2, 5, 50, 64, 100, 512, 768}) {
    for (const bool like_clip : {false, true}) {
      const auto make = like_clip ? embeddings_like_clip : [](auto rows, auto cols, auto seed) {
        return clustered_vectors(rows, cols, seed);
      };
      const Matrix vectors = make(500, dimension, 1);
      const Matrix queries = make(30, dimension, 2);
      const CodeTable table(one_block(vectors.data(), vectors.rows(), dimension));
      ASSERT_EQ(table.size(), vectors.rows());
      double largest_error = 0;
      for (std::size_t query = 0; query < queries.rows(); ++query) {
        const QueryCode code = table.encode_query(queries.row(query).data());
        for (std::size_t place = 0; place < vectors.rows(); ++place) {
          const std::uint8_t* row = table.codes() + place * table.width();
          std::int32_t high = 0;
          std::int32_t low = 0;
          code_dot_kernel().contiguous(code.high.data(), code.low.data(), row, 1, table.width(),
                                       &high, &low);
          const double bound = code.length * table.errors()[place] + code.slack;
          const double score = code.score(table.scales()[place], high, low);
          for (const InstructionSet each : supported_instruction_sets()) {
            const double expected = inner_product_kernel(each).pair(
                queries.row(query).data(), vectors.row(place).data(), dimension);
            ASSERT_LE(std::abs(score - expected), bound) << dimension << ' ' << place;
          }
          EXPECT_NEAR(code.score(table.scales()[place], high), score, 0.05);
          largest_error = std::max(largest_error, bound);
        }
      }
      // Loose bounds would be right as well, and of no use.
      EXPECT_LE(largest_error, 0.02) << dimension;
    }
  }
}

TEST(CodeTable, TakesEqualVectors) {
  const Matrix one = clustered_vectors(1, 70, 1);
  Matrix vectors(40, 70);
  for (std::size_t i = 0; i < 40; ++i) std::copy_n(one.data(), 70, vectors.row(i).data());
  const CodeTable table(one_block(vectors.data(), 40, 70));
  const QueryCode code = table.encode_query(one.data());
  EXPECT_NEAR(code.base, 1.0F, 1e-5F);
  EXPECT_LE(table.errors()[7], 1e-6F);
}

}  // namespace
}  // namespace vitrine::index
