#include "index/float_scan.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "index/exact_search.h"
#include "index/kernels/inner_product.h"
#include "index/parallel.h"
#include "index/top_k.h"

namespace vitrine::index {
namespace {

/// Vectors that stay in the cache while a group of queries passes over them.
constexpr std::size_t kTileRows = 32;
constexpr std::size_t kMostQueriesAGroup = 64;
constexpr std::size_t kPartsAThread = 8;

/// Offers rows [first, last) to each query's best.
void scan_part(MatrixView queries, MatrixView vectors, const RowSet* allowed, std::size_t first,
               std::size_t last, TopK* best) {
  const InnerProductKernel& kernel = inner_product_kernel();
  std::int32_t rows[kTileRows];
  float scores[kTileRows];
  std::size_t count = 0;
  const auto compare = [&] {
    const bool contiguous = rows[count - 1] - rows[0] + 1 == static_cast<std::int32_t>(count);
    for (std::size_t query = 0; query < queries.rows; ++query) {
      const float* data = queries.row(query).data();
      if (contiguous) {
        kernel.contiguous(data, vectors.row(static_cast<std::size_t>(rows[0])).data(), count,
                          vectors.cols, scores);
      } else {
        kernel.gathered(data, vectors.data, rows, count, vectors.cols, scores);
      }
      for (std::size_t i = 0; i < count; ++i) best[query].offer({scores[i], rows[i]});
    }
    count = 0;
  };
  const auto add = [&](std::size_t row) {
    rows[count++] = static_cast<std::int32_t>(row);
    if (count == kTileRows) compare();
  };
  if (allowed != nullptr) {
    allowed->for_each(first, last, add);
  } else {
    for (std::size_t row = first; row < last; ++row) add(row);
  }
  if (count > 0) compare();
}

}  // namespace

void scan_floats(const MatrixView& queries, const MatrixView& vectors, const RowSet* allowed,
                 SearchResult& result) {
  const std::size_t compared = allowed == nullptr ? vectors.rows : allowed->count();
  const int threads =
      threads_for(std::min(queries.rows, kMostQueriesAGroup) * compared * queries.cols);
  const auto thread_count = static_cast<std::size_t>(threads);
  const std::size_t parts =
      std::min(thread_count * (threads > 1 ? kPartsAThread : 1), vectors.rows);
  for (std::size_t first = 0; first < queries.rows; first += kMostQueriesAGroup) {
    const std::size_t group = std::min(kMostQueriesAGroup, queries.rows - first);
    const MatrixView own{queries.row(first).data(), group, queries.cols};
    std::vector<std::vector<TopK>> best(thread_count, std::vector<TopK>(group, TopK(result.k)));
    parallel_for(parts, threads, [&](std::size_t part) {
      scan_part(own, vectors, allowed, vectors.rows * part / parts,
                vectors.rows * (part + 1) / parts,
                best[static_cast<std::size_t>(omp_get_thread_num())].data());
    });
    for (std::size_t query = 0; query < group; ++query) {
      for (std::size_t thread = 1; thread < thread_count; ++thread) {
        best[0][query].merge(best[thread][query]);
      }
      put_hits(best[0][query].take(), first + query, result);
    }
  }
}

}  // namespace vitrine::index
