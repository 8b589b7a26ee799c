#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "index/search_tables.h"
#include "index/top_k.h"

namespace vitrine::index {

/// Whether there are caps, and a search by them is likely to compare but a small part of all
/// vectors.
bool caps_are_worth(const CodeTable& codes, const Filter& filter, std::size_t k);

/// The k best of all vectors that the filter lets through, as search_exactly() finds them: compares
/// those in the nearest caps, and in the caps that can then still hold a better one. Nothing where
/// these are too many for it to pay. On the calling thread. query: [dimension].
std::optional<std::vector<Hit>> search_caps(const SearchTables& tables, const float* query,
                                            const Filter& filter, std::size_t k);

}  // namespace vitrine::index
