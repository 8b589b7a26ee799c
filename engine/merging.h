#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>

#include "engine/catalog.h"
#include "engine/indexing.h"
#include "storage/database.h"
#include "storage/generation_store.h"

namespace vitrine::engine {

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
