#include "index/kernels/inner_product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "tests/index/instruction_sets.h"

namespace vitrine::index {
namespace {

class InnerProduct : public testing::TestWithParam<InstructionSet> {
 protected:
  /// Ends where its allocation ends, so that a read past the end shows under AddressSanitizer.
  static std::vector<float> random_floats(std::size_t count, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& value : values) value = normal(random);
    return values;
  }

  const InnerProductKernel& kernel_ = inner_product_kernel(GetParam());
};

TEST_P(InnerProduct, AgreesWithADoubleReferenceAtEveryWidth) {
  for (std::size_t dim = 0; dim <= 130; ++dim) {
    constexpr std::size_t kRows = 7;
    const std::vector<float> query = random_floats(dim, 1);
    const std::vector<float> rows = random_floats(dim * kRows, 2);
    std::vector<float> scores(kRows);
    kernel_.contiguous(query.data(), rows.data(), kRows, dim, scores.data());
    for (std::size_t i = 0; i < kRows; ++i) {
      double expected = 0;
      double magnitude = 0;
      for (std::size_t column = 0; column < dim; ++column) {
        const double product = static_cast<double>(query[column]) * rows[i * dim + column];
        expected += product;
        magnitude += std::abs(product);
      }
      EXPECT_NEAR(scores[i], expected, 1e-6 * magnitude) << "width " << dim << ", row " << i;
    }
  }
}

TEST_P(InnerProduct, GivesTheSameBitsHoweverARowIsReached) {
  for (const std::size_t dim : {1, 3, 8, 15, 16, 17, 31, 32, 48, 63, 100, 512, 513}) {
    constexpr std::size_t kRows = 11;
    const std::vector<float> query = random_floats(dim, 3);
    const std::vector<float> rows = random_floats(dim * kRows, 4);
    std::vector<std::int32_t> backwards(kRows);
    std::iota(backwards.rbegin(), backwards.rend(), 0);
    std::vector<float> contiguous(kRows);
    std::vector<float> gathered(kRows);
    kernel_.contiguous(query.data(), rows.data(), kRows, dim, contiguous.data());
    kernel_.gathered(query.data(), rows.data(), backwards.data(), kRows, dim, gathered.data());
    for (std::size_t count = 0; count <= kRows; ++count) {
      std::vector<const float*> addresses(count);
      for (std::size_t i = 0; i < count; ++i) addresses[i] = rows.data() + (count - 1 - i) * dim;
      std::vector<float> listed(count);
      kernel_.listed(query.data(), addresses.data(), count, dim, listed.data());
      for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(listed[i], contiguous[count - 1 - i]);
    }
    for (std::size_t i = 0; i < kRows; ++i) {
      EXPECT_EQ(contiguous[i], kernel_.pair(query.data(), rows.data() + i * dim, dim));
      EXPECT_EQ(contiguous[i], gathered[kRows - 1 - i]);
    }
  }
}

TEST_P(InnerProduct, PassesOnWhatIsNotFinite) {
  std::vector<float> a(37, 0.5F);
  const std::vector<float> b(37, 0.5F);
  for (const std::size_t at : {0, 20, 36}) {
    a[at] = std::nanf("");
    EXPECT_TRUE(std::isnan(kernel_.pair(a.data(), b.data(), a.size())));
    a[at] = INFINITY;
    EXPECT_TRUE(std::isinf(kernel_.pair(a.data(), b.data(), a.size())));
    a[at] = 0.5F;
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, InnerProduct, every_instruction_set(), name_of_set);

TEST(InnerProductKernel, IsTheFastestTheCpuRuns) {
  EXPECT_EQ(inner_product_kernel().pair,
            inner_product_kernel(supported_instruction_sets().back()).pair);
}

}  // namespace
}  // namespace vitrine::index
