#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>

#include "encoder/encoder.h"
#include "encoder/image_decoder.h"
#include "engine/batching_encoder.h"
#include "engine/indexing.h"
#include "storage/database.h"
#include "storage/generation_store.h"

namespace vitrine::engine {

/// What an indexing run works with; all of it must outlive the run.
struct IndexingTools {
  const encoder::Encoder& encoder;  ///< tokenizes and prepares
  BatchingEncoder& batching;        ///< encodes, when no query waits
  storage::Database& database;
  storage::GenerationStore& generations;
  encoder::ImageLimits image_limits;
  encoder::ImageOptions image_options;
  int decode_threads = 1;       ///< at least 1
  std::size_t batch_size = 32;  ///< images or texts that are encoded together, at least 1
};

/// Fills a generation: reads the catalog, encodes what the embedding cache does not have, writes
/// rows, indices, products and manifest. The generation is then complete but not current.
/// covered_sequence: the catalog's last update when the run began, which the file replaces.
///
///     reader thread --products--> decode threads --small images--> calling thread: encoder,
///                                                                  cache, rows of the matrices
///
/// Memory: the two embedding matrices, the index of one of them, the ids, and bounded queues of
/// products and small images. A matrix of imported vectors is read when its index is built, so that
/// only one of them is held.
/// Errors: see Engine::index_catalog.
IndexReport build_generation(const IndexingTools& tools, const IndexRequest& request,
                             std::uint64_t generation, const std::filesystem::path& folder,
                             std::uint64_t covered_sequence, const ProgressCallback& progress,
                             const std::atomic<bool>* cancel);

}  // namespace vitrine::engine
