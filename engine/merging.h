#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>

#include "engine/catalog.h"
#include "engine/indexing.h"
#include "storage/database.h"
#include "storage/generation_store.h"

namespace vitrine::engine {

/// Rows of delta and tombstones from which on a catalog of so many live products is merged:
/// merge_size at most, a quarter of the products where that is fewer, but no fewer than 1,000. What
/// waits makes a search slower by its share of the products, and a merge takes as long as there are
/// products; a thousand rows are scanned in less than a request takes. merge_size: not 0.
std::size_t rows_worth_a_merge(std::size_t merge_size, std::size_t products);

/// Rows from which on a merge must not wait for cores that searches leave: four times as many, or
/// half of those at which updates are refused, whichever is fewer. merge_size: 0 where only age
/// begins a merge.
std::size_t rows_of_an_urgent_merge(std::size_t merge_size, std::size_t max_unmerged,
                                    std::size_t products);

/// Fills a generation with the live products of a snapshot, in the order of its rows: the rest of
/// its generation, then its delta. The embeddings are taken over, so that nothing is encoded. The
/// generation is then complete but not current, and covers the snapshot's sequence number.
/// request: its index, search and tuned are the new generation's.
///
/// Memory: one of the two embedding matrices, its index, and the ids.
/// Throws FailedPrecondition when no product is alive, Cancelled.
IndexReport build_merged_generation(storage::Database& database,
                                    storage::GenerationStore& generations, const Catalog& catalog,
                                    const IndexRequest& request, std::uint64_t generation,
                                    const std::filesystem::path& folder,
                                    const ProgressCallback& progress,
                                    const std::atomic<bool>* cancel);

}  // namespace vitrine::engine
