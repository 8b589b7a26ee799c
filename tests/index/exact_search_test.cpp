#include "index/exact_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <stdexcept>

#include "base/compute_threads.h"
#include "index/kernels/code_dot.h"
#include "index/kernels/inner_product.h"
#include "index/parallel.h"
#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr int kMostThreads = 1;  // ThreadSanitizer cannot see how libgomp's threads synchronise
#else
constexpr int kMostThreads = 3;
#endif

/// Sorts everything; what search_exactly must agree with to the bit.
std::vector<Hit> sorted_hits(std::span<const float> query, const Matrix& vectors,
                             std::span<const std::int32_t> rows, std::span<const PlaceRange> ranges,
                             const RowSet* allowed) {
  std::vector<Hit> hits;
  for (const PlaceRange& range : ranges) {
    for (std::size_t place = range.first; place < range.first + range.count; ++place) {
      const std::int32_t row = rows[place];
      if (allowed != nullptr && !allowed->contains(static_cast<std::size_t>(row))) continue;
      hits.push_back(
          {inner_product_kernel().pair(query.data(), vectors.row(place).data(), query.size()),
           row});
    }
  }
  std::sort(hits.begin(), hits.end(), better);
  return hits;
}

/// Of vectors that vary along many axes, and of narrow ones, which have leading codes.
class ExactSearch : public testing::TestWithParam<bool> {
 protected:
  static constexpr std::size_t kPlaces = 20000;
  static constexpr std::size_t kCols = 64;
  static constexpr PlaceRange kAll[] = {{0, kPlaces}};

  ExactSearch() : vectors_(make_vectors(kPlaces, 1)), rows_(kPlaces) {
    for (std::size_t i = 0; i < kPlaces; i += 3) {  // many ties
      std::copy_n(vectors_.row(i % 90).data(), kCols, vectors_.row(i).data());
    }
    std::iota(rows_.begin(), rows_.end(), 0);
    std::shuffle(rows_.begin(), rows_.end(), std::mt19937(3));
    table_ = VectorTable(kCols);
    table_.add_block(vectors_.data(), 12345);
    table_.add_block(vectors_.row(12345).data(), kPlaces - 12345);
    codes_ = CodeTable(table_);
  }

  static Matrix make_vectors(std::size_t rows, std::uint32_t seed) {
    return GetParam() ? narrow_vectors(rows, kCols, seed) : clustered_vectors(rows, kCols, seed);
  }

  void expect_what_sorting_finds(std::span<const PlaceRange> ranges, const RowSet* allowed) const {
    const SearchTables tables{&codes_, &table_, rows_.data()};
    for (int threads = 1; threads <= kMostThreads; ++threads) {
      set_compute_threads_of_this_thread(threads);
      for (const std::size_t count : {1, 3, 5, 70}) {
        for (const std::size_t k : {1, 10, 700}) {
          SearchResult result = make_result(count, k);
          search_exactly(tables, {queries_.data(), count, kCols}, ranges, {allowed}, result);
          ASSERT_EQ(result.rows.size(), count * k);
          for (const std::size_t query : {std::size_t{0}, count - 1}) {
            const std::vector<Hit> expected =
                sorted_hits(queries_.row(query), vectors_, rows_, ranges, allowed);
            for (std::size_t i = 0; i < k; ++i) {
              const bool there = i < expected.size();
              ASSERT_EQ(result.rows[query * k + i], there ? expected[i].row : kNoRow);
              ASSERT_EQ(result.scores[query * k + i], there ? expected[i].score : -INFINITY);
            }
          }
        }
      }
    }
    set_compute_threads_of_this_thread(1);
  }

  Matrix vectors_;
  Matrix queries_ = make_vectors(70, 2);
  std::vector<std::int32_t> rows_;
  VectorTable table_;
  CodeTable codes_;
};

TEST_P(ExactSearch, HasLeadingCodesOfNarrowVectors) {
  EXPECT_EQ(codes_.leading().empty(), !GetParam());
}

TEST_P(ExactSearch, AgreesWithASortOfEverythingOnAnyNumberOfThreads) {
  expect_what_sorting_finds(kAll, nullptr);
}

TEST_P(ExactSearch, FindsWhatLiesFarFromTheQuery) {
  // Nothing is near these: caps rule out little.
  for (std::size_t query : {0, 2}) {
    for (float& value : queries_.row(query)) value = -value;
  }
  expect_what_sorting_finds(kAll, nullptr);
}

TEST_P(ExactSearch, SearchesOnlyTheAllowedRowsOfAll) {
  for (const std::uint32_t share : {2, 10, 30, 100}) {
    std::mt19937 random(share);
    RowSet allowed(kPlaces);
    for (std::size_t row = 0; row < kPlaces; ++row) {
      if (random() % share == 0) allowed.insert(row);
    }
    expect_what_sorting_finds(kAll, &allowed);
    allowed.invert();
    expect_what_sorting_finds(kAll, &allowed);
  }
}

TEST_P(ExactSearch, FindsAllowedRowsThatLieFarFromTheQuery) {
  const std::span<const float> query = queries_.row(0);
  std::vector<Hit> hits = sorted_hits(query, vectors_, rows_, kAll, nullptr);
  RowSet allowed(kPlaces);
  for (std::size_t i = kPlaces / 2; i < kPlaces; ++i) {
    allowed.insert(static_cast<std::size_t>(hits[i].row));
  }
  expect_what_sorting_finds(kAll, &allowed);
}

TEST_P(ExactSearch, SearchesOnlyTheRangesAndTheAllowedRows) {
  const PlaceRange some[] = {{17000, 2999}, {5, 1}, {300, 0}, {400, 8000}};
  expect_what_sorting_finds(some, nullptr);
  for (const std::uint32_t share : {2, 100, 3000}) {
    std::mt19937 random(share);
    RowSet allowed(kPlaces);
    for (std::size_t row = 0; row < kPlaces; ++row) {
      if (random() % share == 0) allowed.insert(row);
    }
    expect_what_sorting_finds(some, &allowed);
    // The same rows, told by their places.
    RowSet places(kPlaces);
    for (std::size_t place = 0; place < kPlaces; ++place) {
      if (allowed.contains(static_cast<std::size_t>(rows_[place]))) places.insert(place);
    }
    const SearchTables tables{&codes_, &table_, rows_.data()};
    const auto by_row = search_exactly(tables, queries_.row(0).data(), some, {&allowed}, 50);
    const auto by_place = search_exactly(tables, queries_.row(0).data(), some, {&places, true}, 50);
    ASSERT_EQ(by_row.size(), by_place.size());
    for (std::size_t i = 0; i < by_row.size(); ++i) EXPECT_EQ(by_row[i].row, by_place[i].row);
  }
}

TEST_P(ExactSearch, FindsNothingInNoRange) {
  const SearchTables tables{&codes_, &table_, rows_.data()};
  EXPECT_TRUE(search_exactly(tables, queries_.row(0).data(), {}, {}, 5).empty());
}

TEST(ParallelFor, HandsAnExceptionToTheCaller) {
  for (int threads = 1; threads <= kMostThreads; ++threads) {
    EXPECT_THROW(parallel_for(100, threads,
                              [](std::size_t i) {
                                if (i == 50) throw std::runtime_error("fifty");
                              }),
                 std::runtime_error);
  }
}

TEST_P(ExactSearch, FindsTheBestOfFewOrManyScoredPlaces) {
  const SearchTables tables{&codes_, &table_, rows_.data()};
  std::vector<std::int32_t> places(kPlaces);
  std::iota(places.begin(), places.end(), 0);
  std::shuffle(places.begin(), places.end(), std::mt19937(5));
  const std::span<const float> query = queries_.row(0);
  const QueryCode code = codes_.encode_query(query.data());
  for (const std::size_t count : {0, 1, 9, 10, 11, 60, 5000}) {
    const std::span<const std::int32_t> some = std::span(places).first(count);
    std::vector<PlaceRange> ranges;
    for (const std::int32_t place : some) ranges.push_back({static_cast<std::size_t>(place), 1});
    const std::vector<Hit> expected = sorted_hits(query, vectors_, rows_, ranges, nullptr);
    std::vector<std::int32_t> products(count);
    code_dot_kernel().gathered_whole(code.high.data(), codes_.upper(), codes_.lower(), some.data(),
                                     count, codes_.width(), products.data());
    std::vector<Hit> scored;
    std::vector<float> errors;
    for (std::size_t i = 0; i < count; ++i) {
      const float scale = codes_.scales()[static_cast<std::size_t>(some[i])];
      scored.push_back({code.finer_score(scale, products[i]), some[i]});
      errors.push_back(code.finer_error(codes_.errors()[static_cast<std::size_t>(some[i])]));
    }
    const std::vector<Hit> found = best_of_scored(tables, query.data(), scored, errors, 10);
    ASSERT_EQ(found.size(), std::min<std::size_t>(count, 10));
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].row, expected[i].row) << count;
      EXPECT_EQ(found[i].score, expected[i].score) << count;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Vectors, ExactSearch, testing::Bool(),
                         [](const auto& narrow) { return narrow.param ? "Narrow" : "Wide"; });

}  // namespace
}  // namespace vitrine::index
