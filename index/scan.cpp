#include "index/scan.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "index/kernels/inner_product.h"
#include "index/parallel.h"

namespace vitrine::index {
namespace {

constexpr std::size_t kMostTileRows = 256;
/// A tile is compared with a whole group of queries while it is in the second-level cache.
constexpr std::size_t kTileBytes = std::size_t{128} * 1024;
constexpr std::size_t kMostQueriesAGroup = 32;

std::size_t tile_rows(std::size_t dimension) {
  return std::clamp<std::size_t>(kTileBytes / (dimension * sizeof(float)), 4, kMostTileRows);
}

/// Calls visit with the blocks cut into pieces of at most tile_rows() vectors.
template <class Visit>
void for_each_tile(std::span<const VectorBlock> blocks, std::size_t dimension, Visit visit) {
  const std::size_t most = tile_rows(dimension);
  for (const VectorBlock& block : blocks) {
    for (std::size_t first = 0; first < block.count; first += most) {
      visit(VectorBlock{block.vectors + first * dimension, std::min(most, block.count - first),
                        block.rows == nullptr ? nullptr : block.rows + first,
                        block.first_row + static_cast<std::int64_t>(first)});
    }
  }
}

std::int64_t row_at(const VectorBlock& block, std::size_t i) {
  return block.rows == nullptr ? block.first_row + static_cast<std::int64_t>(i) : block.rows[i];
}

/// Which vectors of a tile are allowed.
struct Selection {
  bool all = true;
  std::size_t count = 0;
  std::int32_t places[kMostTileRows];  ///< [count], unless all
};

Selection select(const VectorBlock& tile, const RowSet* allowed) {
  Selection selection;
  if (allowed == nullptr) return selection;
  selection.all = false;
  const auto add = [&](std::size_t i) {
    selection.places[selection.count++] = static_cast<std::int32_t>(i);
  };
  if (tile.rows == nullptr) {
    const auto first = static_cast<std::size_t>(tile.first_row);
    allowed->for_each(first, first + tile.count, [&](std::size_t row) { add(row - first); });
  } else {
    for (std::size_t i = 0; i < tile.count; ++i) {
      if (allowed->contains(static_cast<std::size_t>(tile.rows[i]))) add(i);
    }
  }
  return selection;
}

void scan_tile(const float* query, std::size_t dimension, const VectorBlock& tile,
               const Selection& selection, TopK& best) {
  const InnerProductKernel& kernel = inner_product_kernel();
  float scores[kMostTileRows];
  const auto offer = [&](float score, std::size_t i) {
    if (best.full() && score < best.worst().score) return;
    best.offer({score, row_at(tile, i)});
  };
  if (selection.all) {
    kernel.contiguous(query, tile.vectors, tile.count, dimension, scores);
    for (std::size_t i = 0; i < tile.count; ++i) offer(scores[i], i);
  } else {
    kernel.gathered(query, tile.vectors, selection.places, selection.count, dimension, scores);
    for (std::size_t i = 0; i < selection.count; ++i) {
      offer(scores[i], static_cast<std::size_t>(selection.places[i]));
    }
  }
}

}  // namespace

SearchResult make_result(std::size_t queries, std::size_t k) {
  return {queries, k, std::vector<std::int64_t>(queries * k, kNoRow),
          std::vector<float>(queries * k, -std::numeric_limits<float>::infinity())};
}

void put_hits(std::vector<Hit> hits, std::size_t query, SearchResult& result) {
  const std::size_t count = std::min(hits.size(), result.k);
  for (std::size_t i = 0; i < count; ++i) {
    result.rows[query * result.k + i] = hits[i].row;
    result.scores[query * result.k + i] = hits[i].score;
  }
}

void scan(const float* query, std::size_t dimension, std::span<const VectorBlock> blocks,
          const RowSet* allowed, TopK& best) {
  for_each_tile(blocks, dimension, [&](const VectorBlock& tile) {
    scan_tile(query, dimension, tile, select(tile, allowed), best);
  });
}

SearchResult scan_parallel(MatrixView queries, std::span<const VectorBlock> blocks,
                           const RowSet* allowed, std::size_t k) {
  SearchResult result = make_result(queries.rows, k);
  if (queries.rows == 0) return result;
  const std::size_t dimension = queries.cols;
  std::vector<VectorBlock> tiles;
  std::size_t vectors = 0;
  for_each_tile(blocks, dimension, [&](const VectorBlock& tile) {
    tiles.push_back(tile);
    vectors += tile.count;
  });
  const int threads = threads_for(queries.rows * vectors * dimension);

  // Many queries: each thread takes groups of them through all tiles. Few: each thread takes its
  // share of the tiles, and the shares are merged.
  const auto threads_count = static_cast<std::size_t>(threads);
  const bool split_queries = threads == 1 || queries.rows >= 2 * threads_count;
  const std::size_t group_size =
      split_queries
          ? std::min(kMostQueriesAGroup, (queries.rows + threads_count - 1) / threads_count)
          : queries.rows;
  const std::size_t groups = (queries.rows + group_size - 1) / group_size;
  const std::size_t shares = split_queries ? 1 : std::min(threads_count, tiles.size());

  std::vector<std::vector<TopK>> best(groups * shares);
  parallel_for(groups * shares, threads, [&](std::size_t part) {
    const std::size_t first_query = part / shares * group_size;
    const std::size_t last_query = std::min(first_query + group_size, queries.rows);
    const std::size_t share = part % shares;
    const std::size_t first_tile = tiles.size() * share / shares;
    const std::size_t last_tile = tiles.size() * (share + 1) / shares;
    std::vector<TopK> group(last_query - first_query, TopK(k));
    for (std::size_t tile = first_tile; tile < last_tile; ++tile) {
      const Selection selection = select(tiles[tile], allowed);
      for (std::size_t query = first_query; query < last_query; ++query) {
        scan_tile(queries.row(query).data(), dimension, tiles[tile], selection,
                  group[query - first_query]);
      }
    }
    if (shares > 1) {
      best[part] = std::move(group);
      return;
    }
    for (std::size_t query = first_query; query < last_query; ++query) {
      put_hits(group[query - first_query].take(), query, result);
    }
  });
  if (shares > 1) {
    for (std::size_t query = 0; query < queries.rows; ++query) {
      TopK merged(k);
      for (const std::vector<TopK>& share : best) merged.merge(share[query]);
      put_hits(merged.take(), query, result);
    }
  }
  return result;
}

}  // namespace vitrine::index
