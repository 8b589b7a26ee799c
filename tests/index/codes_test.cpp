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
      double largest_finer_error = 0;
      double largest_rough_error = 0;
      for (std::size_t query = 0; query < queries.rows(); ++query) {
        const QueryCode code = table.encode_query(queries.row(query).data());
        for (std::size_t place = 0; place < vectors.rows(); ++place) {
          const auto product = [&](const std::vector<std::int8_t>& weights,
                                   const std::uint8_t* halves) {
            std::int32_t sum = 0;
            code_dot_kernel().contiguous(weights.data(), halves + place * table.width(), 1,
                                         table.width(), &sum);
            return sum;
          };
          const std::int32_t upper_high = product(code.high, table.upper());
          const float scale = table.scales()[place];
          const double bound = code.length * table.errors()[place] + code.slack;
          const std::int32_t lower_high = product(code.high, table.lower());
          const double score =
              code.score(scale, upper_high, lower_high, product(code.low, table.upper()),
                         product(code.low, table.lower()));
          const double finer_score = code.finer_score(scale, 16 * upper_high + lower_high);
          const double finer_bound = code.finer_error(table.errors()[place]);
          const double rough_bound =
              code.rough_length * table.rough_errors()[place] + code.rough_slack;
          const double rough_score = code.rough_score(scale, upper_high);
          for (const InstructionSet each : supported_instruction_sets()) {
            const double expected = inner_product_kernel(each).pair(
                queries.row(query).data(), vectors.row(place).data(), dimension);
            ASSERT_LE(std::abs(score - expected), bound) << dimension << ' ' << place;
            ASSERT_LE(std::abs(finer_score - expected), finer_bound) << dimension << ' ' << place;
            ASSERT_LE(std::abs(rough_score - expected), rough_bound) << dimension << ' ' << place;
          }
          largest_error = std::max(largest_error, bound);
          largest_finer_error = std::max(largest_finer_error, finer_bound);
          largest_rough_error = std::max(largest_rough_error, rough_bound);
        }
      }
      // Loose bounds would be right as well, and of no use.
      EXPECT_LE(largest_error, 0.02) << dimension;
      EXPECT_LE(largest_finer_error, 0.04) << dimension;
      EXPECT_LE(largest_rough_error, 0.25) << dimension;
    }
  }
}

TEST(CodeTable, PutsCodesTogetherAgain) {
  for (const std::size_t dimension : {1, 64, 100, 128, 300}) {
    const Matrix vectors = clustered_vectors(20, dimension, 1);
    const CodeTable table(one_block(vectors.data(), vectors.rows(), dimension));
    const Rotation rotation(dimension);
    for (std::size_t place = 0; place < vectors.rows(); ++place) {
      std::vector<float> rotated(vectors.row(place).begin(), vectors.row(place).end());
      for (std::size_t i = 0; i < dimension; ++i) rotated[i] -= table.mean()[i];
      rotation.apply(rotated.data());
      std::vector<std::int8_t> code(2 * table.width());
      table.unpack(place, code.data());
      for (std::size_t i = 0; i < code.size(); ++i) {
        const float expected = i < dimension ? rotated[i] / table.scales()[place] : 0.0F;
        ASSERT_NEAR(code[i], expected, 0.501) << dimension << ' ' << i;
      }
    }
  }
}

TEST(CodeTable, ComparesQueriesWithVectorsShorterThanThey) {
  Matrix vectors = clustered_vectors(50, 96, 1);
  for (std::size_t i = 0; i < vectors.rows(); ++i) {
    for (float& value : vectors.row(i)) value *= static_cast<float>(i) / 50;
  }
  const VectorTable vector_table = one_block(vectors.data(), 50, 96);
  const CodeTable table(vector_table);
  const Matrix queries = clustered_vectors(5, 96, 2);
  for (std::size_t query = 0; query < queries.rows(); ++query) {
    const QueryCode code = table.encode_query(queries.row(query).data());
    for (std::size_t place = 0; place < vectors.rows(); ++place) {
      std::int32_t product = 0;
      code_dot_kernel().contiguous(code.high.data(), table.upper() + place * table.width(), 1,
                                   table.width(), &product);
      EXPECT_LE(std::abs(code.rough_score(table.scales()[place], product) -
                         exact_product(queries.row(query), vectors.row(place))),
                code.rough_length * table.rough_errors()[place] + code.rough_slack);
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
