#include "index/scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>

#include "base/compute_threads.h"
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

/// Sorts everything; what scan_parallel must agree with to the bit.
std::vector<Hit> sorted_hits(std::span<const float> query, const Matrix& vectors) {
  std::vector<Hit> hits;
  for (std::size_t i = 0; i < vectors.rows(); ++i) {
    hits.push_back({inner_product_kernel().pair(query.data(), vectors.row(i).data(), query.size()),
                    static_cast<std::int64_t>(i)});
  }
  std::sort(hits.begin(), hits.end(), better);
  return hits;
}

TEST(Scan, AgreesWithASortOfEverythingOnAnyNumberOfThreads) {
  Matrix vectors = clustered_vectors(20000, 64, 1);
  for (std::size_t i = 0; i < 20000; i += 3) {  // many ties
    std::copy_n(vectors.row(i % 90).data(), 64, vectors.row(i).data());
  }
  const Matrix queries = clustered_vectors(70, 64, 2);
  // Two blocks, the second one with rows of its own numbering.
  constexpr std::size_t kSplit = 12345;
  std::vector<std::int64_t> rows;
  for (std::size_t i = kSplit; i < vectors.rows(); ++i) {
    rows.push_back(static_cast<std::int64_t>(i));
  }
  const VectorBlock blocks[] = {
      {vectors.data(), kSplit},
      {vectors.row(kSplit).data(), vectors.rows() - kSplit, rows.data()},
  };
  for (int threads = 1; threads <= kMostThreads; ++threads) {
    set_compute_threads_of_this_thread(threads);
    for (const std::size_t count : {1, 3, 5, 70}) {
      for (const std::size_t k : {1, 10, 700}) {
        const SearchResult result = scan_parallel({queries.data(), count, 64}, blocks, nullptr, k);
        ASSERT_EQ(result.rows.size(), count * k);
        for (const std::size_t query : {std::size_t{0}, count - 1}) {
          const std::vector<Hit> expected = sorted_hits(queries.row(query), vectors);
          for (std::size_t i = 0; i < k; ++i) {
            ASSERT_EQ(result.rows[query * k + i], expected[i].row);
            ASSERT_EQ(result.scores[query * k + i], expected[i].score);
          }
        }
      }
    }
  }
  set_compute_threads_of_this_thread(1);
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

}  // namespace
}  // namespace vitrine::index
