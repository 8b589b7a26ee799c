#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "index/best_hits.h"
#include "index/codes.h"
#include "index/search_tables.h"
#include "index/top_k.h"
#include "index/vector_index.h"

namespace vitrine::index {

/// Makes a result one of all misses, for the queries to fill.
void reset(std::size_t queries, std::size_t k, SearchResult& result);
/// A new one.
SearchResult make_result(std::size_t queries, std::size_t k);
/// Writes the hits, best first, as the answer to a query; hits beyond k are dropped.
void put_hits(std::span<const Hit> hits, std::size_t query, SearchResult& result);
/// The same of the k best, which are taken.
void put_hits(BestHits& best, std::size_t query, SearchResult& result);

/// The k best of so many vectors: as comparing all of them in float32 finds them, of which few are
/// compared. query: [dimension]. scored: what codes say of each; rows are places, each of which
/// comes once. errors: [scored.size()], how far the scores are from the kernels', at most.
std::vector<Hit> best_of_scored(const SearchTables& tables, const float* query,
                                std::span<const Hit> scored, std::span<const float> errors,
                                std::size_t k);

/// The k best vectors of the ranges that the filter lets through: the same rows in the same order,
/// with the same scores, as comparing each of them in float32. Reads half a byte
/// an element: scans the upper halves of the codes, reads the lower ones only of vectors that are
/// then still in the race for the k best places, and compares in float32 only those that both
/// halves leave there. On the calling thread. query: [dimension].
std::vector<Hit> search_exactly(const SearchTables& tables, const float* query,
                                std::span<const PlaceRange> ranges, const Filter& filter,
                                std::size_t k);

/// The same of a query that the codes have encoded. Hits that score less than at_least may be
/// missing.
std::vector<Hit> search_exactly(const SearchTables& tables, const float* query,
                                const QueryCode& code, std::span<const PlaceRange> ranges,
                                const Filter& filter, std::size_t k, float at_least);

/// The result.k best for many queries, on as many threads as the work is worth; one query takes all
/// of them. Of all vectors, those that caps rule out (cap_search.h) are passed over. result: of all
/// misses.
void search_exactly(const SearchTables& tables, const MatrixView& queries,
                    std::span<const PlaceRange> ranges, const Filter& filter, SearchResult& result);

}  // namespace vitrine::index
