#include "index/pq_lists.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

constexpr std::size_t kRows = 2500;
constexpr std::size_t kCols = 80;  // more than lists are told apart by

class PqListsTest : public testing::Test {
 protected:
  /// What a place's list and codes say of its vector, in double precision.
  std::vector<double> decoded(std::size_t list, std::size_t place) const {
    const PqModel& model = lists_.model();
    const ProductQuantizer& quantizer = model.quantizer;
    std::vector<double> turned(model.mean.begin(), model.mean.end());
    const auto centroid = model.centroids.row(list);
    for (std::size_t i = 0; i < centroid.size(); ++i) turned[i] += centroid[i];
    std::vector<std::uint8_t> codes(quantizer.tables());
    lists_.codes_at(place, codes.data());
    for (std::size_t i = 0; i < quantizer.order().size(); ++i) {
      if (quantizer.order()[i] < 0) continue;
      turned[static_cast<std::size_t>(quantizer.order()[i])] +=
          quantizer.centroids()[i * kTableEntries + codes[i / quantizer.width()]];
    }
    std::vector<double> vector(kCols, 0.0);
    for (std::size_t i = 0; i < kCols; ++i) {
      for (std::size_t j = 0; j < kCols; ++j) vector[j] += turned[i] * model.axes.row(i)[j];
    }
    return vector;
  }

  const Matrix vectors_ = clustered_vectors(kRows, kCols, 1);
  const PqLists lists_{learn_pq_model(vectors_, 30, 20, [] {}), vectors_, [](std::size_t) {}};
};

TEST_F(PqListsTest, HaveEveryRowOnceNearItself) {
  std::set<std::int32_t> rows;
  double lost = 0;
  for (std::size_t list = 0; list < lists_.lists().size(); ++list) {
    const PlaceRange& range = lists_.lists()[list];
    for (std::size_t place = range.first; place < range.first + range.count; ++place) {
      const std::int32_t row = lists_.rows()[place];
      EXPECT_TRUE(rows.insert(row).second);
      const std::vector<double> copy = decoded(list, place);
      for (std::size_t i = 0; i < kCols; ++i) {
        const double difference = copy[i] - vectors_.row(static_cast<std::size_t>(row))[i];
        lost += difference * difference;
      }
    }
  }
  EXPECT_EQ(rows.size(), kRows);
  EXPECT_EQ(*rows.begin(), 0);
  EXPECT_EQ(*rows.rbegin(), static_cast<std::int32_t>(kRows) - 1);
  EXPECT_LT(lost / kRows, 0.1);  // of a length of 1
}

TEST_F(PqListsTest, FindTheCandidatesThatTheDecodedVectorsNameInDoublePrecision) {
  constexpr std::size_t kCount = 100;
  const Matrix queries = clustered_vectors(15, kCols, 2);
  const PqLists::Effort all{lists_.lists().size(), 0, nullptr};
  for (std::size_t query = 0; query < queries.rows(); ++query) {
    std::vector<double> scores(kRows);
    for (std::size_t list = 0; list < lists_.lists().size(); ++list) {
      const PlaceRange& range = lists_.lists()[list];
      for (std::size_t place = range.first; place < range.first + range.count; ++place) {
        const std::vector<double> copy = decoded(list, place);
        scores[static_cast<std::size_t>(lists_.rows()[place])] =
            std::inner_product(copy.begin(), copy.end(), queries.row(query).begin(), 0.0);
      }
    }
    std::vector<double> sorted = scores;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    const std::vector<Hit> found = lists_.candidates(queries.row(query).data(), kCount, all);
    ASSERT_EQ(found.size(), kCount);
    const double step = lists_.model().quantizer.tables_for(queries.row(query).data()).step;
    // Rounded sums may swap vectors that differ by less than what rounding adds.
    const double rounding = 40 * step;
    for (std::size_t i = 0; i < kCount; ++i) {
      EXPECT_GE(scores[static_cast<std::size_t>(found[i].row)], sorted[kCount - 1] - rounding);
      if (i > 0) {
        EXPECT_NEAR(static_cast<double>(found[0].score) - found[i].score,
                    scores[static_cast<std::size_t>(found[0].row)] -
                        scores[static_cast<std::size_t>(found[i].row)],
                    rounding);
      }
    }
  }
}

TEST_F(PqListsTest, ScanFurtherListsUntilEnoughRowsAreSeen) {
  const Matrix query = clustered_vectors(1, kCols, 2);
  EXPECT_LT(lists_.candidates(query.data(), kRows, {1, 0, nullptr}).size(), kRows / 2);
  EXPECT_EQ(lists_.candidates(query.data(), kRows, {1, kRows, nullptr}).size(), kRows);
  RowSet allowed(kRows);
  for (const std::size_t row : {7, 77, 777}) allowed.insert(row);
  EXPECT_EQ(lists_.candidates(query.data(), 10, {1, 3, &allowed}).size(), 3U);
}

}  // namespace
}  // namespace vitrine::index
