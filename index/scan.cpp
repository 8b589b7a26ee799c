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

void scan_tile(const float* query, std::size_t dimension, const VectorBlock& tile, TopK& best) {
  float scores[kMostTileRows];
  inner_product_kernel().contiguous(query, tile.vectors, tile.count, dimension, scores);
  for (std::size_t i = 0; i < tile.count; ++i) {
    if (best.full() && scores[i] < best.worst().score) continue;
    const std::int64_t row =
        tile.rows == nullptr ? tile.first_row + static_cast<std::int64_t>(i) : tile.rows[i];
    best.offer({scores[i], row});
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
          TopK& best) {
  for_each_tile(blocks, dimension,
                [&](const VectorBlock& tile) { scan_tile(query, dimension, tile, best); });
}

SearchResult scan_parallel(MatrixView queries, std::span<const VectorBlock> blocks, std::size_t k) {
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
      for (std::size_t query = first_query; query < last_query; ++query) {
        scan_tile(queries.row(query).data(), dimension, tiles[tile], group[query - first_query]);
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
