#include "index/block_scan.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "index/exact_search.h"
#include "index/kernels/inner_product.h"
#include "index/parallel.h"
#include "index/top_k.h"

namespace vitrine::index {
namespace {

/// Scores that are held on the stack.
constexpr std::size_t kTileRows = 256;

/// What a thread knows of a query, and what it has found so far.
struct Scan {
  const float* query;
  std::size_t dimension;
  std::size_t k;
  float at_least;
  QueryCode code;  // once a block has needed one
  TopK best;

  /// A hit that scores less is of no use.
  float enough() const { return best.full() ? std::max(best.worst().score, at_least) : at_least; }
};

void scan_floats(const VectorBlock& block, std::size_t first_row, const RowSet& allowed,
                 Scan& scan) {
  float scores[kTileRows];
  for (std::size_t begin = 0; begin < block.count; begin += kTileRows) {
    const std::size_t count = std::min(kTileRows, block.count - begin);
    inner_product_kernel().contiguous(scan.query, block.vectors + begin * scan.dimension, count,
                                      scan.dimension, scores);
    for (std::size_t i = 0; i < count; ++i) {
      if (scores[i] < scan.enough()) continue;
      const std::size_t row = first_row + begin + i;
      if (allowed.contains(row)) scan.best.offer({scores[i], static_cast<std::int64_t>(row)});
    }
  }
}

void scan_codes(const VectorBlock& block, std::size_t first_row, const RowSet& allowed,
                Scan& scan) {
  if (scan.code.high.empty()) {
    scan.code = block.codes->encode_query(scan.query);
  } else {
    block.codes->adopt_query(scan.query, scan.code);
  }
  const RowSet own = allowed.part(first_row, block.count);
  const VectorTable vectors = one_block(block.vectors, block.count, scan.dimension);
  const PlaceRange all{0, block.count};
  for (const Hit& hit : search_exactly({block.codes, &vectors}, scan.query, scan.code, {&all, 1},
                                       {&own}, scan.k, scan.enough())) {
    scan.best.offer({hit.score, hit.row + static_cast<std::int64_t>(first_row)});
  }
}

}  // namespace

SearchResult scan_blocks(MatrixView queries, std::span<const VectorBlock> blocks,
                         const RowSet& allowed, std::size_t k, std::span<const float> at_least) {
  SearchResult result = make_result(queries.rows, k);
  std::vector<std::size_t> first_rows;
  std::size_t rows = 0;
  for (const VectorBlock& block : blocks) {
    first_rows.push_back(rows);
    rows += block.count;
  }
  // Each thread takes its share of the blocks.
  const int threads = threads_for(rows * queries.cols / 4);
  const std::size_t shares = std::min(static_cast<std::size_t>(threads), blocks.size());
  for (std::size_t query = 0; query < queries.rows; ++query) {
    const float least =
        at_least.empty() ? -std::numeric_limits<float>::infinity() : at_least[query];
    std::vector<Scan> scans(
        shares, Scan{queries.row(query).data(), queries.cols, k, least, QueryCode(), TopK(k)});
    parallel_for(shares, threads, [&](std::size_t share) {
      const std::size_t last = blocks.size() * (share + 1) / shares;
      for (std::size_t i = blocks.size() * share / shares; i < last; ++i) {
        const auto scan_block = blocks[i].codes != nullptr ? scan_codes : scan_floats;
        scan_block(blocks[i], first_rows[i], allowed, scans[share]);
      }
    });
    if (scans.empty()) continue;
    TopK& best = scans[0].best;
    for (std::size_t share = 1; share < shares; ++share) best.merge(scans[share].best);
    put_hits(best.take(), query, result);
  }
  return result;
}

}  // namespace vitrine::index
