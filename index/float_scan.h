#pragma once

#include <cstddef>

#include "base/matrix.h"
#include "index/row_set.h"
#include "index/vector_index.h"

namespace vitrine::index {

/// The result.k best rows of each query, or the best allowed ones, by comparing each in float32:
/// the exact search of an index that keeps no codes of all elements. Scores have the same bits as
/// those of the others, hits the same order. vectors: [rows, queries.cols], at any address.
/// allowed: null, or of vectors.rows. Uses the OpenMP threads of the calling thread, as far as the
/// work is worth it. result: of all misses.
void scan_floats(const MatrixView& queries, const MatrixView& vectors, const RowSet* allowed,
                 SearchResult& result);

}  // namespace vitrine::index
