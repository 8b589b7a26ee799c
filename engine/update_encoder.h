#pragma once

#include <span>
#include <vector>

#include "encoder/encoder.h"
#include "encoder/image_decoder.h"
#include "engine/batching_encoder.h"
#include "engine/catalog.h"
#include "engine/compute_slots.h"
#include "engine/updates.h"
#include "storage/database.h"

namespace vitrine::engine {

/// What updates are prepared with; all of it must outlive the call.
struct UpdateTools {
  const encoder::Encoder& encoder;  ///< tokenizes and prepares
  BatchingEncoder& batching;        ///< encodes, when no query waits
  storage::Database& database;      ///< the embedding cache
  ComputeSlots& slots;
  encoder::ImageLimits image_limits;
  encoder::ImageOptions image_options;
};

/// Reads, checks and encodes what the updates bring. What the embedding cache has, or the snapshot
/// for an unchanged caption, is not encoded again.
/// Throws InvalidArgument naming the product for a bad or repeated id, a fault of a field, an
/// embedding of another width, one that is not finite or has no direction, and an image that is
/// none; and what the catalog's image source throws.
std::vector<PreparedUpdate> prepare_updates(const UpdateTools& tools, const Catalog& catalog,
                                            std::span<const ProductUpdate> updates);

}  // namespace vitrine::engine
