#include "index/block_scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "vectors.h"

namespace vitrine::index {
namespace {

constexpr std::size_t kRows = 1500;
constexpr std::size_t kDimension = 24;

class BlockScan : public ::testing::Test {
 protected:
  /// The rows as blocks of `most` rows.
  std::vector<VectorBlock> blocks(std::size_t most) const {
    std::vector<VectorBlock> result;
    for (std::size_t first = 0; first < kRows; first += most) {
      result.push_back({rows_.row(first).data(), std::min(most, kRows - first)});
    }
    return result;
  }

  /// The same; every other one has codes.
  std::vector<VectorBlock> coded_blocks(std::size_t most) {
    std::vector<VectorBlock> result = blocks(most);
    codes_.clear();
    for (std::size_t i = 0; i < result.size(); i += 2) {
      codes_.push_back(
          std::make_unique<CodeTable>(one_block(result[i].vectors, result[i].count, kDimension)));
      result[i].codes = codes_.back().get();
    }
    return result;
  }

  std::vector<std::unique_ptr<CodeTable>> codes_;
  const Matrix rows_ = clustered_vectors(kRows, kDimension, 1);
  const Matrix queries_ = clustered_vectors(5, kDimension, 2);
};

TEST_F(BlockScan, AgreesWithAFlatIndexWhateverTheBlocks) {
  IndexSpec spec;
  const auto flat = build_index(rows_, spec);
  for (const std::size_t one_in : {1U, 3U, 700U}) {
    RowSet allowed(kRows);
    for (std::size_t row = 0; row < kRows; row += one_in) allowed.insert(row);
    SearchOptions options;
    options.allowed = &allowed;
    for (const int k : {1, 10, 2000}) {
      const SearchResult expected = flat->search(queries_, k, options);
      for (const std::size_t most : {1U, 7U, 256U, 1000U, 5000U}) {
        const SearchResult found =
            scan_blocks(queries_, blocks(most), allowed, static_cast<std::size_t>(k));
        EXPECT_EQ(found.rows, expected.rows) << one_in << " " << k << " " << most;
        EXPECT_EQ(found.scores, expected.scores);
        const SearchResult by_codes =
            scan_blocks(queries_, coded_blocks(most), allowed, static_cast<std::size_t>(k));
        EXPECT_EQ(by_codes.rows, expected.rows) << one_in << " " << k << " " << most;
        EXPECT_EQ(by_codes.scores, expected.scores);
      }
    }
  }
}

TEST_F(BlockScan, FindsAllHitsThatScoreEnough) {
  RowSet all(kRows);
  all.invert();
  constexpr std::size_t kHits = 20;
  constexpr std::size_t kEnough = 7;  // hits of each query
  const SearchResult expected = scan_blocks(queries_, blocks(kRows), all, kHits);
  std::vector<float> at_least;
  for (std::size_t query = 0; query < expected.queries; ++query) {
    at_least.push_back(expected.scores[query * kHits + kEnough - 1]);
  }
  for (const std::size_t most : {7U, 256U, 5000U}) {
    const SearchResult found = scan_blocks(queries_, coded_blocks(most), all, kHits, at_least);
    for (std::size_t query = 0; query < expected.queries; ++query) {
      const auto first = static_cast<std::ptrdiff_t>(query * kHits);
      const auto last = first + static_cast<std::ptrdiff_t>(kEnough);
      EXPECT_TRUE(std::equal(found.rows.begin() + first, found.rows.begin() + last,
                             expected.rows.begin() + first))
          << most << " " << query;
    }
  }
}

TEST_F(BlockScan, OfNothingFindsNothing) {
  const SearchResult found = scan_blocks(queries_, {}, RowSet(), 3);
  EXPECT_EQ(found.rows, std::vector<std::int64_t>(15, kNoRow));
  EXPECT_TRUE(
      scan_blocks(MatrixView{nullptr, 0, kDimension}, blocks(7), RowSet(kRows), 3).rows.empty());
}

}  // namespace
}  // namespace vitrine::index
