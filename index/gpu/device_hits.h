#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "index/exact_search.h"
#include "index/top_k.h"

namespace vitrine::index {

/// Two inner products of the same unit vectors, each added up in float32 in whatever order, fused
/// or not, differ by no more than this.
double most_difference(std::size_t dimension);

/// What a device proposes for one query. It searched `total` rows, was asked for rows.size() of
/// them, and gave them best first; kNoRow stands where there were fewer.
struct Proposal {
  std::span<const std::int64_t> rows;
  std::span<const float> scores;
  std::size_t total = 0;
};

/// The k best of the allowed rows that the device searched, with the scores that the CPU gives
/// them, in its order; or nothing where the proposal leaves it open whether a row that is not in it
/// is among them. Every allowed row in it is compared by the CPU. A row that is not in it scores,
/// by the device, no more than the last that is, and therefore, by the CPU, no more than
/// most_difference() above it: only where the k-th hit is better than that is nothing missing.
/// query: [dimension]. places: row -> place, or null where the place is the row. allowed: null:
/// all. Throws Unavailable when the proposal is not what float32 arithmetic gives: rows that do not
/// exist, that come twice or that are missing, or scores further from the CPU's than rounding
/// explains.
std::optional<std::vector<Hit>> proven_hits(const SearchTables& tables, const std::int32_t* places,
                                            const float* query, const Proposal& proposal,
                                            const RowSet* allowed, std::size_t k);

}  // namespace vitrine::index
