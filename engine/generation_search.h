#pragma once

#include "base/matrix.h"
#include "engine/delta.h"
#include "index/vector_index.h"

namespace vitrine::engine {

/// The best rows of a generation that its delta has left alive, as VectorIndex::search() gives
/// them; of those in options.allowed when it is not null. index: of the generation, which knows of
/// no tombstones. The arguments and errors are that method's.
index::SearchResult search_generation(const index::VectorIndex& index, const Delta& delta,
                                      MatrixView queries, int k,
                                      const index::SearchOptions& options);

}  // namespace vitrine::engine
