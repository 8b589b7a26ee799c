#include "engine/generation_search.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>

namespace vitrine::engine {
namespace {

/// Where fewer rows are alive, telling the index which ones takes no longer than asking for the
/// dead, too: of 10,000 in hnsw it then compares all, which finds more.
constexpr double kLeastShare = 0.6;
/// Were tombstones spread at random, this many standard deviations more of them than are to be
/// expected would hardly ever be met.
constexpr double kDeviations = 4;
/// The most effort that an index takes, whichever way it is counted.
constexpr double kMostEffort = 10'000;

void append(const index::SearchResult& found, std::size_t i, index::SearchResult& result) {
  result.rows.push_back(found.rows[i]);
  result.scores.push_back(found.scores[i]);
}

/// Asks the index for as many more hits as are likely to be dead, and leaves those out: an index
/// that takes whatever it meets is faster than one that asks of each row whether it may be a hit.
/// Nothing where that is not to be expected to pay. k: valid.
std::optional<index::SearchResult> search_past_tombstones(const index::VectorIndex& index,
                                                          const Delta& delta, MatrixView queries,
                                                          std::size_t k,
                                                          const index::SearchOptions& options) {
  const index::RowSet& live = *delta.live_base();
  const std::size_t live_rows = index.size() - delta.tombstones();
  const double share = static_cast<double>(live_rows) / static_cast<double>(index.size());
  if (options.exact || share < kLeastShare || k >= live_rows) return std::nullopt;
  const auto wanted = static_cast<double>(k);
  const double hits = std::ceil((wanted + kDeviations * std::sqrt(wanted * (1 - share))) / share);
  const double beam = std::ceil(options.ef_search / share);
  const double lists = std::ceil(options.nprobe / share);
  if (hits > index::kMaxK || std::max(beam, lists) > kMostEffort) return std::nullopt;
  index::SearchOptions wider = options;  // to meet as many live rows
  wider.ef_search = static_cast<int>(beam);
  wider.nprobe = static_cast<int>(lists);
  const index::SearchResult found = index.search(queries, static_cast<int>(hits), wider);

  index::SearchResult result{queries.rows, k, {}, {}};
  for (std::size_t query = 0; query < queries.rows; ++query) {
    const std::size_t enough = (query + 1) * k;
    for (std::size_t i = query * found.k; i < (query + 1) * found.k; ++i) {
      if (result.rows.size() == enough || found.rows[i] == index::kNoRow) break;
      if (live.contains(static_cast<std::size_t>(found.rows[i]))) append(found, i, result);
    }
    if (result.rows.size() == enough) continue;
    // What is near this query was deleted or replaced.
    result.rows.resize(query * k);
    result.scores.resize(query * k);
    index::SearchOptions filtered = options;
    filtered.allowed = &live;
    const index::SearchResult own =
        index.search({queries.row(query).data(), 1, queries.cols}, static_cast<int>(k), filtered);
    for (std::size_t i = 0; i < k; ++i) append(own, i, result);
  }
  return result;
}

}  // namespace

index::SearchResult search_generation(const index::VectorIndex& index, const Delta& delta,
                                      MatrixView queries, int k,
                                      const index::SearchOptions& options) {
  const index::RowSet* live = delta.live_base();
  if (live == nullptr) return index.search(queries, k, options);
  index::SearchOptions filtered = options;
  filtered.allowed = live;
  if (options.allowed != nullptr) {
    index::RowSet both = *options.allowed;
    both &= *live;
    filtered.allowed = &both;
    return index.search(queries, k, filtered);
  }
  options.validate();  // before another effort stands in the place of a wrong one
  if (k >= 1) {        // else the index says what is wrong
    auto found =
        search_past_tombstones(index, delta, queries, static_cast<std::size_t>(k), options);
    if (found) return std::move(*found);
  }
  return index.search(queries, k, filtered);
}

}  // namespace vitrine::engine
