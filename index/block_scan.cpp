#include "index/block_scan.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "index/exact_search.h"
#include "index/kernels/inner_product.h"
#include "index/parallel.h"
#include "index/top_k.h"

namespace vitrine::index {
namespace {

/// Scores that are held on the stack.
constexpr std::size_t kTileRows = 256;

void scan_block(const float* query, std::size_t dimension, const VectorBlock& block,
                std::size_t first_row, const RowSet& allowed, TopK& best) {
  float scores[kTileRows];
  for (std::size_t begin = 0; begin < block.count; begin += kTileRows) {
    const std::size_t count = std::min(kTileRows, block.count - begin);
    inner_product_kernel().contiguous(query, block.vectors + begin * dimension, count, dimension,
                                      scores);
    for (std::size_t i = 0; i < count; ++i) {
      if (best.full() && scores[i] < best.worst().score) continue;
      const std::size_t row = first_row + begin + i;
      if (allowed.contains(row)) best.offer({scores[i], static_cast<std::int64_t>(row)});
    }
  }
}

/// k: as best was made for.
void scan_codes(const float* query, std::size_t dimension, const VectorBlock& block,
                std::size_t first_row, const RowSet& allowed, std::size_t k, TopK& best) {
  RowSet own(block.count);
  allowed.for_each(first_row, first_row + block.count,
                   [&](std::size_t row) { own.insert(row - first_row); });
  const VectorTable vectors = one_block(block.vectors, block.count, dimension);
  const PlaceRange all{0, block.count};
  for (const Hit& hit : search_exactly({block.codes, &vectors}, query, {&all, 1}, {&own}, k)) {
    best.offer({hit.score, hit.row + static_cast<std::int64_t>(first_row)});
  }
}

}  // namespace

SearchResult scan_blocks(MatrixView queries, std::span<const VectorBlock> blocks,
                         const RowSet& allowed, std::size_t k) {
  SearchResult result = make_result(queries.rows, k);
  std::vector<std::size_t> first_rows;
  std::size_t rows = 0;
  for (const VectorBlock& block : blocks) {
    first_rows.push_back(rows);
    rows += block.count;
  }
  // Each thread takes its share of the blocks.
  const int threads = threads_for(rows * queries.cols);
  const std::size_t shares = std::min(static_cast<std::size_t>(threads), blocks.size());
  for (std::size_t query = 0; query < queries.rows; ++query) {
    std::vector<TopK> best(shares, TopK(k));
    parallel_for(shares, threads, [&](std::size_t share) {
      const std::size_t last = blocks.size() * (share + 1) / shares;
      for (std::size_t i = blocks.size() * share / shares; i < last; ++i) {
        const float* vector = queries.row(query).data();
        if (blocks[i].codes != nullptr) {
          scan_codes(vector, queries.cols, blocks[i], first_rows[i], allowed, k, best[share]);
        } else {
          scan_block(vector, queries.cols, blocks[i], first_rows[i], allowed, best[share]);
        }
      }
    });
    if (best.empty()) continue;
    for (std::size_t share = 1; share < shares; ++share) best[0].merge(best[share]);
    put_hits(best[0].take(), query, result);
  }
  return result;
}

}  // namespace vitrine::index
