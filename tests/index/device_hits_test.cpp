// What a device proposes, and what the CPU makes of it.

#include "index/gpu/device_hits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "index/kernels/inner_product.h"
#include "index/vector_index.h"
#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

constexpr std::size_t kRows = 2000;
constexpr std::size_t kCols = 48;

class DeviceHits : public testing::Test {
 protected:
  explicit DeviceHits(Matrix vectors = clustered_vectors(kRows, kCols, 1))
      : vectors_(std::move(vectors)) {}

  float score_of(std::int64_t row) const {
    return inner_product_kernel().pair(query_.data(),
                                       vectors_.row(static_cast<std::size_t>(row)).data(), kCols);
  }

  /// All rows, as a device orders them whose scores are off by what error(row) says.
  template <class Error>
  std::vector<Hit> ordered(Error error) const {
    std::vector<Hit> all;
    for (std::int64_t row = 0; row < static_cast<std::int64_t>(vectors_.rows()); ++row) {
      all.push_back({static_cast<float>(score_of(row) + error(row)), row});
    }
    std::sort(all.begin(), all.end(), better);
    return all;
  }

  std::optional<std::vector<Hit>> prove(const std::vector<Hit>& candidates, std::size_t k,
                                        std::size_t total = kRows,
                                        const std::int32_t* places = nullptr,
                                        const RowSet* allowed = nullptr) const {
    std::vector<std::int64_t> rows;
    std::vector<float> scores;
    for (const Hit& candidate : candidates) {
      rows.push_back(candidate.row);
      scores.push_back(candidate.score);
    }
    return proven_hits({nullptr, &table_}, places, query_.data(), {rows, scores, total}, allowed,
                       k);
  }

  static void expect_equal(const std::vector<Hit>& found, std::span<const Hit> expected) {
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].row, expected[i].row) << i;
      EXPECT_EQ(found[i].score, expected[i].score) << i;
    }
  }

  static std::vector<Hit> first(const std::vector<Hit>& hits, std::size_t count) {
    return {hits.begin(), hits.begin() + static_cast<std::ptrdiff_t>(count)};
  }

  static double none(std::int64_t /*row*/) { return 0; }

  const Matrix vectors_;
  const Matrix query_ = clustered_vectors(1, kCols, 2);
  const VectorTable table_ = one_block(vectors_.data(), vectors_.rows(), kCols);
};

TEST_F(DeviceHits, HaveTheScoresAndTheOrderOfTheCpu) {
  const double tolerance = most_difference(kCols);
  const auto error = [&](std::int64_t row) { return (row % 2 == 0 ? 0.45 : -0.45) * tolerance; };
  const auto found = prove(first(ordered(error), 100), 10);
  ASSERT_TRUE(found);
  expect_equal(*found, first(ordered(none), 10));
}

TEST_F(DeviceHits, AreNotProvenWhileARowThatIsMissingMayBeOneOfThem) {
  std::vector<Hit> all = ordered(none);
  // The last candidate is the k-th hit: the next row may differ from it by rounding alone.
  EXPECT_FALSE(prove(first(all, 10), 10));
  // By the device nearly as good as the k-th hit, and by the CPU no better than that.
  all[9].score -= static_cast<float>(0.5 * most_difference(kCols));
  EXPECT_FALSE(prove(first(all, 10), 10));
  EXPECT_FALSE(prove(first(all, 5), 10));
}

TEST_F(DeviceHits, AreAllowedRows) {
  const std::vector<Hit> all = ordered(none);
  RowSet allowed(kRows);
  std::vector<Hit> expected;
  for (std::size_t i = 0; i < kRows; i += 3) {
    allowed.insert(static_cast<std::size_t>(all[i].row));
    expected.push_back(all[i]);
  }
  const auto found = prove(first(all, 60), 10, kRows, nullptr, &allowed);
  ASSERT_TRUE(found);
  expect_equal(*found, first(expected, 10));
  EXPECT_FALSE(prove(first(all, 20), 10, kRows, nullptr, &allowed));
  const auto few = prove(all, kRows, kRows, nullptr, &allowed);
  ASSERT_TRUE(few);
  expect_equal(*few, expected);
}

TEST_F(DeviceHits, NeedNoProofWhenNothingIsMissing) {
  const std::vector<Hit> all = ordered(none);
  const auto found = prove(all, 2500);
  ASSERT_TRUE(found);
  expect_equal(*found, all);
  std::vector<Hit> few = first(all, 5);
  few.resize(20, {-1.0F, kNoRow});
  const auto padded = prove(few, 10, 5);
  ASSERT_TRUE(padded);
  expect_equal(*padded, first(all, 5));
}

TEST_F(DeviceHits, AreFoundWhereRowsLieElsewhere) {
  std::vector<std::int32_t> places(kRows);
  std::iota(places.rbegin(), places.rend(), 0);
  std::vector<Hit> all = ordered(none);
  for (Hit& hit : all) hit.row = static_cast<std::int64_t>(kRows) - 1 - hit.row;
  std::sort(all.begin(), all.end(), better);
  const auto found = prove(first(all, 50), 10, kRows, places.data());
  ASSERT_TRUE(found);
  expect_equal(*found, first(all, 10));
}

TEST_F(DeviceHits, RefuseWhatFloat32DoesNotGive) {
  const std::vector<Hit> good = first(ordered(none), 50);
  const auto refused = [&](std::size_t at, Hit hit, const std::string& message) {
    std::vector<Hit> bad = good;
    bad[at] = hit;
    expect_error(ErrorCode::kUnavailable, message, [&] { prove(bad, 10); });
  };
  refused(3, {good[3].score + 5e-4F, good[3].row}, "do not both compute in float32");
  refused(3, {std::nanf(""), good[3].row}, "do not both compute in float32");
  refused(3, good[4], "twice");
  refused(3, {good[3].score, static_cast<std::int64_t>(kRows)}, "row 2000 of 2000");
  refused(3, {good[3].score, -7}, "row -7");
  refused(49, {-1.0F, kNoRow}, "gave 49 of 50 rows");
}

class DeviceHitsOfEqualVectors : public DeviceHits {
 protected:
  DeviceHitsOfEqualVectors() : DeviceHits(equal()) {}

  static Matrix equal() {
    Matrix vectors = clustered_vectors(kRows, kCols, 1);
    for (std::size_t i = 1; i < kRows; ++i) {
      std::copy_n(vectors.row(0).data(), kCols, vectors.row(i).data());
    }
    return vectors;
  }
};

TEST_F(DeviceHitsOfEqualVectors, AreLeftToTheCpu) {
  // The device may have chosen any of them; the answer is those of the lowest rows.
  EXPECT_FALSE(prove(first(ordered(none), 100), 10));
  EXPECT_TRUE(prove(ordered(none), 10));
}

TEST(MostDifference, BoundsSumsInAnyOrder) {
  for (const std::size_t cols : {1, 7, 512, 2048}) {
    const Matrix pairs = clustered_vectors(200, cols, 3);
    double largest = 0;
    for (std::size_t i = 0; i + 1 < pairs.rows(); i += 2) {
      float forwards = 0;
      float backwards = 0;
      for (std::size_t column = 0; column < cols; ++column) {
        forwards += pairs.row(i)[column] * pairs.row(i + 1)[column];
        const std::size_t other = cols - 1 - column;
        backwards = std::fma(pairs.row(i)[other], pairs.row(i + 1)[other], backwards);
      }
      const float ours =
          inner_product_kernel().pair(pairs.row(i).data(), pairs.row(i + 1).data(), cols);
      for (const float one : {forwards, backwards, ours}) {
        for (const float other : {forwards, backwards, ours}) {
          largest = std::max(largest, std::abs(static_cast<double>(one) - other));
        }
      }
    }
    EXPECT_LE(largest, most_difference(cols)) << cols;
  }
  EXPECT_LT(most_difference(512), 7e-5);
}

}  // namespace
}  // namespace vitrine::index
