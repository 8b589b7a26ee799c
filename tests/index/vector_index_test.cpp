// What VectorIndex promises, held against every kind there is.

#include "index/vector_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <limits>
#include <set>
#include <thread>

#include "base/compute_threads.h"
#include "base/file.h"
#include "index/exact_search.h"
#include "index/kernels/inner_product.h"
#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

constexpr std::size_t kRows = 3000;
constexpr std::size_t kCols = 50;

void write(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

void expect_equal(const SearchResult& a, const SearchResult& b) {
  EXPECT_EQ(a.queries, b.queries);
  EXPECT_EQ(a.k, b.k);
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(a.scores, b.scores);
}

/// Share of expected's rows that found has, query by query.
double recall(const SearchResult& found, const SearchResult& expected) {
  std::size_t hits = 0;
  for (std::size_t query = 0; query < expected.queries; ++query) {
    const auto begin = [&](const SearchResult& result) {
      return result.rows.begin() + static_cast<std::ptrdiff_t>(query * result.k);
    };
    const std::set<std::int64_t> wanted(begin(expected),
                                        begin(expected) + static_cast<std::ptrdiff_t>(expected.k));
    for (std::size_t i = 0; i < found.k; ++i) {
      hits += wanted.count(*(begin(found) + static_cast<std::ptrdiff_t>(i)));
    }
  }
  return static_cast<double>(hits) / static_cast<double>(expected.rows.size());
}

/// What a search under a filter must find: every allowed row compared by the plainest means.
SearchResult sorted_allowed(const Matrix& vectors, const Matrix& queries, std::size_t k,
                            const RowSet& allowed) {
  SearchResult expected = make_result(queries.rows(), k);
  for (std::size_t query = 0; query < queries.rows(); ++query) {
    std::vector<Hit> hits;
    allowed.for_each(0, allowed.size(), [&](std::size_t row) {
      hits.push_back({inner_product_kernel().pair(queries.row(query).data(),
                                                  vectors.row(row).data(), vectors.cols()),
                      static_cast<std::int64_t>(row)});
    });
    std::sort(hits.begin(), hits.end(), better);
    put_hits(std::move(hits), query, expected);
  }
  return expected;
}

class VectorIndexConformance : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<VectorIndex> build(MatrixView vectors) const {
    IndexSpec spec;
    spec.kind = GetParam();
    return build_index(vectors, spec);
  }

  const Matrix vectors_ = clustered_vectors(kRows, kCols, 1);
  const Matrix queries_ = clustered_vectors(40, kCols, 2);
};

TEST_P(VectorIndexConformance, TellsWhatItHolds) {
  const auto index = build(vectors_);
  EXPECT_EQ(index->kind(), GetParam());
  EXPECT_EQ(index->size(), kRows);
  EXPECT_EQ(index->dimension(), kCols);
  for (const std::size_t row : {std::size_t{0}, std::size_t{1234}, kRows - 1}) {
    const auto expected = vectors_.row(row);
    EXPECT_EQ(index->vector(static_cast<std::int64_t>(row)),
              std::vector<float>(expected.begin(), expected.end()));
  }
  for (const std::int64_t row : {std::int64_t{-1}, std::int64_t{kRows}}) {
    expect_error(ErrorCode::kInvalidArgument, "rows 0 to 2999", [&] { index->vector(row); });
  }
}

TEST_P(VectorIndexConformance, ExactSearchIsTheFlatSearch) {
  const auto flat = build_index(vectors_, {});
  const auto index = build(vectors_);
  SearchOptions exact;
  exact.exact = true;
  for (const int k : {1, 10, 1000}) {
    expect_equal(index->search(queries_, k, exact), flat->search(queries_, k));
  }
}

TEST_P(VectorIndexConformance, FindsNearlyWhatTheFlatSearchFinds) {
  const auto expected = build_index(vectors_, {})->search(queries_, 10);
  const auto index = build(vectors_);
  SearchOptions options;
  options.nprobe = 32;
  EXPECT_GE(recall(index->search(queries_, 10, options), expected), 0.95);
}

TEST_P(VectorIndexConformance, SearchesNarrowVectorsAlike) {
  const Matrix vectors = narrow_vectors(6000, 96, 1);
  const Matrix queries = narrow_vectors(40, 96, 2);
  RowSet allowed(vectors.rows());
  for (std::size_t row = 0; row < vectors.rows(); row += 3) allowed.insert(row);
  const auto index = build(vectors);
  const TemporaryDirectory folder;
  index->save(folder.path() / "index.faiss");
  const auto opened = open_index(folder.path() / "index.faiss");
  SearchOptions options;
  options.nprobe = 32;
  const SearchResult found = index->search(queries, 10, options);
  expect_equal(opened->search(queries, 10, options), found);
  RowSet all(vectors.rows());
  for (std::size_t row = 0; row < vectors.rows(); ++row) all.insert(row);
  EXPECT_GE(recall(found, sorted_allowed(vectors, queries, 10, all)), 0.95);
  options.allowed = &allowed;
  EXPECT_GE(
      recall(opened->search(queries, 10, options), sorted_allowed(vectors, queries, 10, allowed)),
      0.95);
  options.exact = true;
  expect_equal(opened->search(queries, 10, options), sorted_allowed(vectors, queries, 10, allowed));
}

TEST_P(VectorIndexConformance, MoreEffortFindsNoLess) {
  const auto expected = build_index(vectors_, {})->search(queries_, 10);
  const auto index = build(vectors_);
  double last = 0;
  for (const int effort : {1, 30, 300, 3000}) {
    SearchOptions options;
    options.nprobe = options.ef_search = effort;
    const double found = recall(index->search(queries_, 10, options), expected);
    EXPECT_GE(found, last - 0.01) << effort;
    last = found;
  }
  EXPECT_EQ(last, 1.0);
}

class FilteredSearch : public testing::TestWithParam<std::string> {
 protected:
  static constexpr std::size_t kManyRows = 8000;
  static constexpr std::size_t kFewCols = 24;

  std::unique_ptr<VectorIndex> build() const {
    IndexSpec spec;
    spec.kind = GetParam();
    spec.hnsw_m = 12;
    spec.ef_construction = 100;
    return build_index(vectors_, spec);
  }

  /// Exactly what is allowed, each row once, best first; and all that there is room for.
  static void expect_only_allowed(const SearchResult& found, const RowSet& allowed) {
    const std::size_t hits = std::min(found.k, allowed.count());
    for (std::size_t query = 0; query < found.queries; ++query) {
      std::set<std::int64_t> rows;
      for (std::size_t i = 0; i < found.k; ++i) {
        const std::int64_t row = found.rows[query * found.k + i];
        if (i >= hits) {
          EXPECT_EQ(row, kNoRow);
          continue;
        }
        ASSERT_GE(row, 0);
        ASSERT_LT(static_cast<std::size_t>(row), allowed.size());
        EXPECT_TRUE(allowed.contains(static_cast<std::size_t>(row)));
        EXPECT_TRUE(rows.insert(row).second);
      }
    }
  }

  const Matrix vectors_ = clustered_vectors(kManyRows, kFewCols, 1);
  const Matrix queries_ = clustered_vectors(50, kFewCols, 2);
};

TEST_P(FilteredSearch, FindsTheBestAllowedRowsAtEverySelectivity) {
  const auto index = build();
  for (const double share : {0.5, 0.05, 0.005, 0.0005}) {
    RowSet allowed(kManyRows);
    std::mt19937 random(5);
    for (std::size_t i = 0; i < static_cast<std::size_t>(share * kManyRows); ++i) {
      allowed.insert(random() % kManyRows);
    }
    const SearchResult expected = sorted_allowed(vectors_, queries_, 10, allowed);
    SearchOptions options;
    options.allowed = &allowed;
    options.nprobe = 8;  // few lists: at half of the rows ivf is not exact
    options.ef_search = 48;
    const SearchResult found = index->search(queries_, 10, options);
    expect_only_allowed(found, allowed);
    EXPECT_GE(recall(found, expected), 0.98) << share;
    expect_only_allowed(index->search({queries_.data(), 1, kFewCols}, 300, options), allowed);
    options.exact = true;
    expect_equal(index->search(queries_, 10, options), expected);
    expect_equal(index->search({queries_.data(), 1, kFewCols}, 10, options),
                 sorted_allowed(vectors_, clustered_vectors(1, kFewCols, 2), 10, allowed));
  }
}

TEST_P(FilteredSearch, FindsAllowedRowsThatLieFarFromTheQuery) {
  const auto index = build();
  // The half of the rows that are least like the first query, and the other queries' results.
  SearchResult order = build_index(vectors_, {})->search({queries_.data(), 1, kFewCols}, kManyRows);
  RowSet allowed(kManyRows);
  for (std::size_t i = kManyRows / 2; i < kManyRows; ++i) {
    allowed.insert(static_cast<std::size_t>(order.rows[i]));
  }
  SearchOptions options;
  options.allowed = &allowed;
  options.nprobe = 48;
  const SearchResult found = index->search(queries_, 10, options);
  expect_only_allowed(found, allowed);
  EXPECT_GE(recall(found, sorted_allowed(vectors_, queries_, 10, allowed)), 0.98);
}

TEST_P(FilteredSearch, LeavesNothingOfAnEarlierSearchInAResult) {
  const auto index = build();
  RowSet few(kManyRows);
  for (const std::size_t row : {3, 70, 1500}) few.insert(row);
  SearchOptions options;
  options.allowed = &few;
  SearchResult result = index->search(queries_, 20);
  for (const bool exact : {true, false}) {
    options.exact = exact;
    index->search(queries_, 10, options, result);
    expect_equal(result, index->search(queries_, 10, options));
    EXPECT_EQ(result.rows[3], kNoRow);
    index->search(queries_, 20, {}, result);
    expect_equal(result, index->search(queries_, 20));
  }
  index->search({nullptr, 0, queries_.cols()}, 5, {}, result);
  expect_equal(result, make_result(0, 5));
}

TEST_P(FilteredSearch, FindsNothingWhereNothingIsAllowedAndAllWhereAllIs) {
  const auto index = build();
  RowSet allowed(kManyRows);
  SearchOptions options;
  options.allowed = &allowed;
  for (const bool exact : {false, true}) {
    options.exact = exact;
    expect_equal(index->search(queries_, 10, options), make_result(50, 10));
  }
  allowed.invert();
  options.exact = false;
  expect_equal(index->search(queries_, 10, options), index->search(queries_, 10));
}

TEST_P(FilteredSearch, RejectsAFilterForAnotherNumberOfRows) {
  const auto index = build();
  const RowSet allowed(kManyRows - 1);
  SearchOptions options;
  options.allowed = &allowed;
  expect_error(ErrorCode::kInvalidArgument, "over 7999 rows; the index has 8000",
               [&] { index->search(queries_, 10, options); });
}

INSTANTIATE_TEST_SUITE_P(Kinds, FilteredSearch, testing::ValuesIn(index_kinds()),
                         [](const auto& kind) { return kind.param; });

TEST_P(VectorIndexConformance, FindsAVectorByItself) {
  const auto index = build(vectors_);
  const SearchResult result = index->search({vectors_.data(), 200, kCols}, 1);
  for (std::size_t i = 0; i < 200; ++i) {
    EXPECT_EQ(result.rows[i], static_cast<std::int64_t>(i));
    EXPECT_NEAR(result.scores[i], 1.0F, 1e-5F);
  }
}

TEST_P(VectorIndexConformance, OrdersHitsByScoreThenRow) {
  Matrix vectors = vectors_;
  for (std::size_t i = 0; i < kRows; i += 2) {
    std::copy_n(vectors_.row(i % 100).data(), kCols, vectors.row(i).data());
  }
  const auto index = build(vectors);
  for (const bool exact : {false, true}) {
    SearchOptions options;
    options.exact = exact;
    const SearchResult result = index->search(queries_, 200, options);
    for (std::size_t at = 0; at + 1 < result.rows.size(); ++at) {
      if ((at + 1) % result.k == 0) continue;
      ASSERT_TRUE(
          result.scores[at] > result.scores[at + 1] ||
          (result.scores[at] == result.scores[at + 1] && result.rows[at] < result.rows[at + 1]));
    }
    expect_equal(index->search(queries_, 200, options), result);
  }
}

TEST_P(VectorIndexConformance, FillsKEvenFromEqualVectors) {
  Matrix vectors(kRows, kCols);
  for (std::size_t i = 0; i < kRows; ++i) {
    std::copy_n(vectors_.row(i % 3).data(), kCols, vectors.row(i).data());
  }
  const auto index = build(vectors);
  SearchOptions options;
  options.nprobe = options.ef_search = 1;
  const SearchResult result = index->search(queries_, 2500, options);
  for (std::size_t query = 0; query < result.queries; ++query) {
    const auto first = result.rows.begin() + static_cast<std::ptrdiff_t>(query * result.k);
    const std::set<std::int64_t> rows(first, first + 2500);
    EXPECT_EQ(rows.size(), 2500U);
    EXPECT_EQ(rows.count(kNoRow), 0U);
  }
}

TEST_P(VectorIndexConformance, FindsVectorsThatDifferByNextToNothing) {
  const TemporaryDirectory folder;
  for (const float step : {1e-30F, 1e-36F, 1e-38F, 1e-44F}) {
    Matrix vectors(6, 4);
    for (std::size_t i = 0; i < vectors.rows(); ++i) {
      vectors.row(i)[0] = 1;
      vectors.row(i)[1] = static_cast<float>(i) * step;
    }
    const auto built = build(vectors);
    built->save(folder.path() / "index.faiss");
    const auto opened = open_index(folder.path() / "index.faiss");
    for (const VectorIndex* index : {built.get(), opened.get()}) {
      const SearchResult result = index->search({vectors.data(), 1, 4}, 6);
      EXPECT_EQ(result.rows, (std::vector<std::int64_t>{0, 1, 2, 3, 4, 5})) << step;
    }
  }
}

TEST_P(VectorIndexConformance, PadsWhatIsMissing) {
  for (const std::size_t rows : {1, 2, 3, 17}) {
    const auto index = build({vectors_.data(), rows, kCols});
    for (const bool exact : {false, true}) {
      SearchOptions options;
      options.exact = exact;
      const SearchResult result = index->search(queries_, 50, options);
      ASSERT_EQ(result.rows.size(), 40U * 50U);
      ASSERT_EQ(result.scores.size(), 40U * 50U);
      std::set<std::int64_t> found(result.rows.begin(),
                                   result.rows.begin() + static_cast<std::ptrdiff_t>(rows));
      EXPECT_EQ(found.size(), rows);
      EXPECT_EQ(found.count(kNoRow), 0U);
      for (std::size_t i = rows; i < 50; ++i) {
        EXPECT_EQ(result.rows[i], kNoRow);
        EXPECT_EQ(result.scores[i], -std::numeric_limits<float>::infinity());
      }
    }
  }
}

TEST_P(VectorIndexConformance, BuildsInSilence) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  for (const std::size_t rows : {1, 5, 40, 3000}) build({vectors_.data(), rows, kCols});
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_P(VectorIndexConformance, TellsHowFarBuildingIsAndStopsWhenAsked) {
  IndexSpec spec;
  spec.kind = GetParam();
  std::atomic<std::size_t> furthest{0};
  build_index(vectors_, spec, [&](std::size_t done, std::size_t total) {
    EXPECT_EQ(total, kRows);
    EXPECT_LE(done, total);
    if (done > furthest) furthest = done;
  });
  EXPECT_EQ(furthest, kRows);
  expect_error(ErrorCode::kCancelled, "enough", [&] {
    build_index(vectors_, spec, [](std::size_t, std::size_t) { throw cancelled("enough"); });
  });
}

TEST_P(VectorIndexConformance, TakesAnyWidth) {
  for (const std::size_t cols : {1, 2, 7, 33, 512}) {
    const Matrix vectors = clustered_vectors(60, cols, 3);
    const auto index = build(vectors);
    EXPECT_EQ(index->search(vectors, 1).rows.size(), 60U) << cols;
    EXPECT_NEAR(index->search(vectors, 1).scores[30], 1.0F, 1e-5F) << cols;
  }
}

TEST_P(VectorIndexConformance, RejectsAQueryOfTheWrongWidth) {
  const auto index = build(vectors_);
  const Matrix narrow = clustered_vectors(1, kCols - 1, 3);
  expect_error(ErrorCode::kInvalidArgument, "49 columns; the index has vectors of 50",
               [&] { index->search(narrow, 1); });
}

TEST_P(VectorIndexConformance, RejectsKOutOfRange) {
  const auto index = build(vectors_);
  for (const int k : {-1, 0, kMaxK + 1, 1'000'000, std::numeric_limits<int>::min()}) {
    expect_error(ErrorCode::kInvalidArgument, "[1, 10000]", [&] { index->search(queries_, k); });
  }
  EXPECT_EQ(index->search({queries_.data(), 1, kCols}, kMaxK).rows.size(), 10000U);
}

TEST_P(VectorIndexConformance, RejectsSearchOptionsOutOfRange) {
  const auto index = build(vectors_);
  for (const int value : {-1, 0, 1'000'001}) {
    SearchOptions options;
    options.nprobe = value;
    expect_error(ErrorCode::kInvalidArgument, "nprobe is",
                 [&] { index->search(queries_, 1, options); });
    options = {};
    options.ef_search = value;
    expect_error(ErrorCode::kInvalidArgument, "ef_search is",
                 [&] { index->search(queries_, 1, options); });
    options = {};
    options.rescore = value;
    expect_error(ErrorCode::kInvalidArgument, "rescore is",
                 [&] { index->search(queries_, 1, options); });
  }
}

TEST_P(VectorIndexConformance, RejectsQueriesThatAreNotUnitVectors) {
  const auto index = build(vectors_);
  for (const float value : {std::nanf(""), INFINITY, -INFINITY}) {
    Matrix queries = queries_;
    queries.row(17)[kCols - 1] = value;
    expect_error(ErrorCode::kInvalidArgument, "query 17 holds", [&] { index->search(queries, 1); });
  }
  for (const float factor : {0.0F, 0.9F, 1.1F, 1e30F}) {
    Matrix queries = queries_;
    for (float& value : queries.row(5)) value *= factor;
    expect_error(ErrorCode::kInvalidArgument, "query 5 has length",
                 [&] { index->search(queries, 1); });
  }
}

TEST_P(VectorIndexConformance, RejectsVectorsThatAreNotUnitVectors) {
  Matrix vectors = vectors_;
  vectors.row(2998)[3] = std::nanf("");
  expect_error(ErrorCode::kInvalidArgument, "vector 2998 holds nan in column 3",
               [&] { build(vectors); });
  vectors = vectors_;
  for (float& value : vectors.row(7)) value *= 2;
  expect_error(ErrorCode::kInvalidArgument, "vector 7 has length 2", [&] { build(vectors); });
}

TEST_P(VectorIndexConformance, RejectsAnEmptyMatrix) {
  expect_error(ErrorCode::kInvalidArgument, "no vectors", [&] { build(Matrix(0, kCols)); });
  expect_error(ErrorCode::kInvalidArgument, "0 columns", [&] { build({nullptr, 3, 0}); });
}

TEST_P(VectorIndexConformance, AnswersNoQueriesWithNoHits) {
  const SearchResult result = build(vectors_)->search({}, 10);
  EXPECT_EQ(result.queries, 0U);
  EXPECT_EQ(result.k, 10U);
  EXPECT_TRUE(result.rows.empty());
}

TEST_P(VectorIndexConformance, AnswersTheSameOnAnyNumberOfThreads) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer cannot see how libgomp's threads synchronise";
#endif
  const auto index = build(vectors_);
  set_compute_threads_of_this_thread(1);
  const SearchResult expected = index->search(queries_, 20);
  for (const int threads : {2, 5}) {
    set_compute_threads_of_this_thread(threads);
    expect_equal(index->search(queries_, 20), expected);
  }
  set_compute_threads_of_this_thread(1);
}

TEST_P(VectorIndexConformance, SearchesFromManyThreadsAtOnceEachWithItsOwnOptions) {
  set_compute_threads_of_this_thread(1);
  const auto index = build(vectors_);
  std::vector<SearchOptions> options(4);
  for (std::size_t i = 0; i < options.size(); ++i) {
    options[i].nprobe = 1 + static_cast<int>(i) * 5;
    options[i].ef_search = 10 + static_cast<int>(i) * 30;
  }
  options[3].exact = true;
  std::vector<SearchResult> expected;
  for (const SearchOptions& each : options) expected.push_back(index->search(queries_, 10, each));
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < options.size(); ++i) {
    threads.emplace_back([&, i] {
      set_compute_threads_of_this_thread(1);
      for (int round = 0; round < 20; ++round) {
        const SearchResult result = index->search(queries_, 10, options[i]);
        if (result.rows != expected[i].rows || result.scores != expected[i].scores) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_P(VectorIndexConformance, OpensWhatItSaved) {
  const TemporaryDirectory folder;
  const auto path = folder.path() / "index.faiss";
  const auto built = build(vectors_);
  built->save(path);
  built->save(path);  // onto an older file
  const auto opened = open_index(path);
  EXPECT_EQ(built->memory().mapped, 0U);
  EXPECT_EQ(opened->memory().mapped, std::filesystem::file_size(path));
  EXPECT_LT(opened->memory().heap, opened->memory().mapped);
  EXPECT_EQ(opened->kind(), GetParam());
  EXPECT_EQ(opened->size(), kRows);
  EXPECT_EQ(opened->dimension(), kCols);
  EXPECT_EQ(opened->vector(77), built->vector(77));
  SearchOptions wide;
  wide.nprobe = 40;
  wide.ef_search = 200;
  SearchOptions exact;
  exact.exact = true;
  for (const SearchOptions& options : {SearchOptions{}, wide, exact}) {
    expect_equal(opened->search(queries_, 25, options), built->search(queries_, 25, options));
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1)
      << "a temporary file was left";
  opened->save(folder.path() / "again.faiss");
  EXPECT_EQ(read_file(path, 1 << 30), read_file(folder.path() / "again.faiss", 1 << 30));
}

TEST_P(VectorIndexConformance, RefusesATruncatedFile) {
  const TemporaryDirectory folder;
  const auto path = folder.path() / "index.faiss";
  build({vectors_.data(), 200, kCols})->save(path);
  const std::string bytes = read_file(path, 1 << 30);
  std::set<std::size_t> sizes;
  for (std::size_t i = 0; i < 150; ++i) {
    sizes.insert({i, bytes.size() - 1 - i, bytes.size() * i / 150});
  }
  for (const std::size_t size : sizes) {
    write(path, std::string_view(bytes).substr(0, size));
    expect_error(ErrorCode::kCorruption, path.string(), [&] { open_index(path); });
  }
  write(path, bytes + '\0');
  expect_error(ErrorCode::kCorruption, path.string(), [&] { open_index(path); });
  write(path, bytes);
  EXPECT_EQ(open_index(path)->size(), 200U);
}

TEST_P(VectorIndexConformance, RefusesAFlippedBit) {
  const TemporaryDirectory folder;
  const auto path = folder.path() / "index.faiss";
  build({vectors_.data(), 200, kCols})->save(path);
  std::string bytes = read_file(path, 1 << 30);
  std::set<std::size_t> offsets;
  for (std::size_t i = 0; i < 200; ++i) {
    offsets.insert({i, bytes.size() - 1 - i, bytes.size() * i / 200});
  }
  for (const std::size_t offset : offsets) {
    const char original = bytes[offset];
    bytes[offset] = static_cast<char>(original ^ (1 << offset % 8));
    write(path, bytes);
    expect_error(ErrorCode::kCorruption, path.string(), [&] { open_index(path); });
    bytes[offset] = original;
  }
}

TEST_P(VectorIndexConformance, SavesNothingWhereThereIsNoFolder) {
  const TemporaryDirectory folder;
  const auto index = build(vectors_);
  expect_error(ErrorCode::kNotFound, "missing",
               [&] { index->save(folder.path() / "missing" / "index.faiss"); });
}

INSTANTIATE_TEST_SUITE_P(Kinds, VectorIndexConformance, testing::ValuesIn(index_kinds()),
                         [](const auto& kind) { return kind.param; });

TEST(OpenIndex, SaysThatThereIsNoFile) {
  expect_error(ErrorCode::kNotFound, "/nowhere/index.faiss",
               [] { open_index("/nowhere/index.faiss"); });
}

TEST(IndexSpec, NamesTheFieldThatIsWrong) {
  const Matrix vectors = clustered_vectors(3, 4, 1);
  const auto expect_rejected = [&](const IndexSpec& spec, const std::string& part) {
    expect_error(ErrorCode::kInvalidArgument, part, [&] { build_index(vectors, spec); });
  };
  expect_rejected({"tree"}, "\"tree\"; it must be one of flat, ivf, ivf_pq, hnsw");
  expect_rejected({"ivf", -1}, "nlist is -1");
  expect_rejected({"ivf", 1'000'001}, "nlist is 1000001");
  expect_rejected({"hnsw", 0, 1}, "hnsw_m is 1");
  expect_rejected({"hnsw", 0, 257}, "hnsw_m is 257");
  expect_rejected({"hnsw", 0, 32, 0}, "ef_construction is 0");
  expect_rejected({"ivf_pq", 0, 32, 200, 0}, "pq_bytes is 0");
  expect_rejected({"ivf_pq", 0, 32, 200, 129}, "pq_bytes is 129");
}

/// A graph that is walked under a filter: one of few links, under a filter that lets most through.
class FilteredWalk : public testing::Test {
 protected:
  static constexpr std::size_t kRows = 20000;
  static constexpr std::size_t kCols = 16;

  static IndexSpec spec() {
    IndexSpec spec;
    spec.kind = "hnsw";
    spec.hnsw_m = 6;
    return spec;
  }

  SearchResult found(const RowSet& allowed) const {
    SearchOptions options;
    options.allowed = &allowed;
    options.ef_search = 16;
    const SearchResult result = index_->search(queries_, 5, options);
    for (const std::int64_t row : result.rows) {
      EXPECT_TRUE(row != kNoRow && allowed.contains(static_cast<std::size_t>(row)));
    }
    return result;
  }

  const Matrix vectors_ = clustered_vectors(kRows, kCols, 1);
  const Matrix queries_ = clustered_vectors(30, kCols, 2);
  const std::unique_ptr<VectorIndex> index_ = build_index(vectors_, spec());
};

TEST_F(FilteredWalk, PassesThroughRowsThatAreNotAllowed) {
  RowSet allowed(kRows);
  for (std::size_t row = 0; row < kRows; ++row) {
    if (row % 10 != 0) allowed.insert(row);
  }
  EXPECT_GE(recall(found(allowed), sorted_allowed(vectors_, queries_, 5, allowed)), 0.8);
}

TEST_F(FilteredWalk, ComparesAllAllowedRowsWhereTheyLieTooFar) {
  SearchResult order = build_index(vectors_, {})->search({queries_.data(), 1, kCols}, 4000);
  RowSet allowed(kRows);
  allowed.invert();
  for (const std::int64_t row : order.rows) allowed.erase(static_cast<std::size_t>(row));
  const SearchResult expected = sorted_allowed(vectors_, queries_, 5, allowed);
  const SearchResult result = found(allowed);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(result.rows[i], expected.rows[i]) << i;
}

class ListIndex : public testing::TestWithParam<std::string> {};

TEST_P(ListIndex, TakesMoreListsThanVectors) {
  const Matrix vectors = clustered_vectors(10, 8, 1);
  const auto index = build_index(vectors, {GetParam(), 1000});
  EXPECT_EQ(index->search(vectors, 10).rows, build_index(vectors, {})->search(vectors, 10).rows);
}

TEST_P(ListIndex, IsTheSameEachTimeItIsBuilt) {
  // More vectors than training takes, so that they are sampled.
  const Matrix vectors = clustered_vectors(3000, 16, 1);
  const TemporaryDirectory folder;
  build_index(vectors, {GetParam(), 8})->save(folder.path() / "a");
  build_index(vectors, {GetParam(), 8})->save(folder.path() / "b");
  EXPECT_EQ(read_file(folder.path() / "a", 1 << 30), read_file(folder.path() / "b", 1 << 30));
}

INSTANTIATE_TEST_SUITE_P(Kinds, ListIndex, testing::Values("ivf", "ivf_pq"),
                         [](const auto& kind) { return kind.param; });

TEST(IvfPqIndex, KeepsInItsFileLittleBesideTheVectors) {
  const Matrix vectors = clustered_vectors(4000, 256, 1);
  const TemporaryDirectory folder;
  IndexSpec spec{"ivf_pq", 16};
  spec.pq_bytes = 32;
  build_index(vectors, spec)->save(folder.path() / "index");
  const std::size_t of_vectors = 4000 * 256 * sizeof(float);
  // Codes and rows for a search, and again for FAISS; two sets of axes; centroids.
  const std::size_t of_rest = 4000 * (32 + 4) + 4000 * (32 + 8) + 2 * 256 * 256 * 4 + 200'000;
  EXPECT_LT(std::filesystem::file_size(folder.path() / "index"), of_vectors + of_rest);
}

TEST(IvfPqIndex, FindsMoreTheMoreItComparesInFloat32) {
  const Matrix vectors = clustered_vectors(6000, 64, 1);
  const Matrix queries = clustered_vectors(60, 64, 2);
  const SearchResult expected = build_index(vectors, {})->search(queries, 10);
  IndexSpec spec{"ivf_pq", 40};
  spec.pq_bytes = 4;  // so coarse that the right order is far from certain
  const auto index = build_index(vectors, spec);
  double last = 0;
  for (const int rescore : {7, 20, 100}) {
    SearchOptions options;
    options.nprobe = 20;
    options.rescore = rescore;
    const double found = recall(index->search(queries, 10, options), expected);
    EXPECT_GT(found, last) << rescore;
    last = found;
  }
  EXPECT_GE(last, 0.9);
}

TEST(IvfPqIndex, RefusesVectorsTooWideForTheirAxesToBeLearnt) {
  const Matrix vectors = clustered_vectors(3, 2049, 1);
  expect_error(ErrorCode::kInvalidArgument, "2049 columns; an ivf_pq index takes at most 2048",
               [&] { build_index(vectors, {"ivf_pq"}); });
}

}  // namespace
}  // namespace vitrine::index
