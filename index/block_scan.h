#pragma once

#include <cstddef>
#include <span>

#include "base/matrix.h"
#include "index/codes.h"
#include "index/row_set.h"
#include "index/vector_index.h"

namespace vitrine::index {

/// Unit vectors that lie one behind another in memory, owned by someone else.
struct VectorBlock {
  const float* vectors = nullptr;  ///< row-major [count, dimension]
  std::size_t count = 0;
  /// Of these vectors, which makes comparing them four times cheaper; null: there are none.
  const CodeTable* codes = nullptr;
};

/// The k best allowed rows of each query by comparing all of them, in float32 or as
/// search_exactly() does, with one answer: for vectors that come one by one, of which there is no
/// index. Rows count through the blocks, from 0. Scores have the same bits as those of an index,
/// hits the same order. queries: [n, dimension], unit length. allowed: its size is at least the
/// number of rows. k: at least 1. at_least: [n], of each query the score below which hits may be
/// missing; empty: none. Uses the OpenMP threads of the calling thread, as far as the work
/// is worth it.
SearchResult scan_blocks(MatrixView queries, std::span<const VectorBlock> blocks,
                         const RowSet& allowed, std::size_t k,
                         std::span<const float> at_least = {});

}  // namespace vitrine::index
