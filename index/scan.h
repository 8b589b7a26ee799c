#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "index/top_k.h"
#include "index/vector_index.h"

namespace vitrine::index {

/// Vectors that lie one behind another in memory, owned by an index.
struct VectorBlock {
  const float* vectors = nullptr;  ///< row-major [count, dimension]
  std::size_t count = 0;
  const std::int64_t* rows = nullptr;  ///< [count], or null: first_row, first_row + 1, ...
  std::int64_t first_row = 0;
};

/// A result of all misses, for the queries to fill.
SearchResult make_result(std::size_t queries, std::size_t k);
/// Writes the hits, best first, as the answer to a query; hits beyond k are dropped.
void put_hits(std::vector<Hit> hits, std::size_t query, SearchResult& result);

/// Offers every vector of the blocks whose row is allowed (null: all), on the calling thread.
/// query: [dimension].
void scan(const float* query, std::size_t dimension, std::span<const VectorBlock> blocks,
          const RowSet* allowed, TopK& best);

/// The k best of all allowed vectors in the blocks for each query, on as many threads as the work
/// is worth.
SearchResult scan_parallel(MatrixView queries, std::span<const VectorBlock> blocks,
                           const RowSet* allowed, std::size_t k);

}  // namespace vitrine::index
