#pragma once

#include <cstddef>

#include "index/search_tables.h"
#include "index/vector_index.h"

namespace vitrine::index {

/// Whether comparing all vectors by packed codes is possible, and the fastest way.
bool can_search_packed(const CodeTable& codes, const Filter& filter, std::size_t k);

/// The k best of all vectors, as comparing them in float32 finds them: bounds all scores by packed
/// codes, and compares in float32 what those leave open. On the calling thread. query:
/// [dimension]. Only where can_search_packed(). number: of the query in the result, which has
/// misses for it.
void search_packed(const SearchTables& tables, const float* query, std::size_t k,
                   std::size_t number, SearchResult& result);

}  // namespace vitrine::index
