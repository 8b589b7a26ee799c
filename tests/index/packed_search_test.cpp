#include "index/packed_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "index/exact_search.h"
#include "index/kernels/inner_product.h"
#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

constexpr std::size_t kCols = 96;

/// The k best, by sorting everything. rows: null: the place is the row.
std::vector<Hit> sorted_hits(const float* query, const Matrix& vectors, const std::int32_t* rows,
                             std::size_t k) {
  std::vector<Hit> hits;
  for (std::size_t place = 0; place < vectors.rows(); ++place) {
    const auto row = rows == nullptr ? static_cast<std::int64_t>(place) : rows[place];
    hits.push_back({inner_product_kernel().pair(query, vectors.row(place).data(), kCols), row});
  }
  std::sort(hits.begin(), hits.end(), better);
  hits.resize(std::min(k, hits.size()));
  return hits;
}

void expect_what_sorting_finds(const Matrix& vectors, const VectorTable& table,
                               const std::int32_t* rows, const Matrix& queries) {
  const CodeTable codes(table);
  const SearchTables tables{&codes, &table, rows};
  for (const std::size_t k : {1, 10, 16, 17, 64}) {
    ASSERT_TRUE(can_search_packed(codes, {}, k));
    SearchResult result = make_result(queries.rows(), k);
    for (std::size_t query = 0; query < queries.rows(); ++query) {
      search_packed(tables, queries.row(query).data(), k, query, result);
      const std::vector<Hit> expected = sorted_hits(queries.row(query).data(), vectors, rows, k);
      for (std::size_t i = 0; i < k; ++i) {
        ASSERT_EQ(result.rows[query * k + i], expected[i].row) << k << ' ' << query << ' ' << i;
        ASSERT_EQ(result.scores[query * k + i], expected[i].score);
      }
    }
    // Whoever searches for many takes the same way.
    const PlaceRange all{0, table.size()};
    SearchResult of_all = make_result(queries.rows(), k);
    search_exactly(tables, queries, {&all, 1}, {}, of_all);
    EXPECT_EQ(of_all.rows, result.rows);
  }
}

/// Some vectors are there many times.
Matrix vectors_with_ties(std::size_t count) {
  Matrix vectors = narrow_vectors(count, kCols, 1);
  for (std::size_t i = 0; i < count; i += 3) {
    std::copy_n(vectors.row(i % 90).data(), kCols, vectors.row(i).data());
  }
  return vectors;
}

/// Near to vectors, far from all of them, and along other axes.
Matrix queries_of_all_sorts() {
  Matrix queries = narrow_vectors(40, kCols, 2);
  for (float& value : queries.row(0)) value = -value;
  std::ranges::copy(clustered_vectors(1, kCols, 3).row(0), queries.row(1).begin());
  for (std::size_t i = 0; i < kCols; ++i) queries.row(2)[i] = i == 5 ? 1.0F : 0.0F;
  return queries;
}

TEST(PackedSearch, AgreesWithASortOfEverything) {
  for (const std::size_t count : {256, 642, 1000, 4096}) {
    const Matrix vectors = vectors_with_ties(count);
    expect_what_sorting_finds(vectors, one_block(vectors.data(), count, kCols), nullptr,
                              queries_of_all_sorts());
  }
}

TEST(PackedSearch, AgreesWhereVectorsLieByPlaceInManyBlocks) {
  constexpr std::size_t kCount = 700;
  const Matrix vectors = vectors_with_ties(kCount);
  std::vector<std::int32_t> rows(kCount);
  std::iota(rows.begin(), rows.end(), 0);
  std::shuffle(rows.begin(), rows.end(), std::mt19937(3));
  VectorTable table(kCols);
  table.add_block(vectors.data(), 123);
  table.add_block(vectors.row(123).data(), kCount - 123);
  expect_what_sorting_finds(vectors, table, rows.data(), queries_of_all_sorts());
  expect_what_sorting_finds(vectors, table, nullptr, queries_of_all_sorts());
}

TEST(PackedSearch, IsForFewNarrowVectorsWithoutAFilterAndForFewHits) {
  const auto codes_of = [](const Matrix& vectors, CodeTable::Leading leading) {
    return CodeTable(one_block(vectors.data(), vectors.rows(), vectors.cols()), leading);
  };
  using enum CodeTable::Leading;
  const CodeTable few = codes_of(narrow_vectors(4096, kCols, 1), kWhereWorth);
  EXPECT_TRUE(can_search_packed(few, {}, kMostPackedHits));
  EXPECT_FALSE(can_search_packed(few, {}, kMostPackedHits + 1));
  const RowSet allowed(4096);
  EXPECT_FALSE(can_search_packed(few, {&allowed}, 1));
  EXPECT_FALSE(can_search_packed(codes_of(narrow_vectors(4097, kCols, 1), kWhereWorth), {}, 1));
  EXPECT_FALSE(can_search_packed(codes_of(narrow_vectors(255, kCols, 1), kWhereWorth), {}, 1));
  EXPECT_FALSE(can_search_packed(codes_of(clustered_vectors(642, kCols, 1), kWhereWorth), {}, 1));
  EXPECT_FALSE(can_search_packed(codes_of(narrow_vectors(642, kCols, 1), kNone), {}, 1));
}

}  // namespace
}  // namespace vitrine::index
