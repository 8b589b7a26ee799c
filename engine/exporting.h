#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "engine/target.h"

namespace vitrine::engine {

class Catalog;

// Files of an exported catalog. Row i of the matrices, line i+1 of the ids and record i+1 of the
// catalog file are one product.
inline constexpr const char* kExportedImagesFile = "images.npy";  ///< float32 [products, dimension]
inline constexpr const char* kExportedCaptionsFile = "captions.npy";  ///< the same of the captions
inline constexpr const char* kExportedIdsFile = "ids.txt";            ///< an id a line
inline constexpr const char* kExportedCatalogFile = "catalog.jsonl";  ///< the products' records

struct ExportRequest {
  std::string catalog;
  std::filesystem::path folder;  ///< made when it is missing; must be empty
  std::optional<Target> target;  ///< only the vectors of this one; nothing: of both
};

struct ExportReport {
  std::uint64_t products = 0;
  std::size_t dimension = 0;
  std::uint64_t generation = 0;  ///< what was exported, and
  std::uint64_t sequence = 0;    ///< the last update in it
};

/// Told how many of how many steps are done. Must not throw.
using ExportProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// Writes a snapshot's live products, in the order of their rows, so that indexing the files makes
/// the same catalog. Each file is whole or not there; the catalog file comes last.
/// Memory: the ids, and a few thousand products. Throws AlreadyExists (the folder is not empty),
/// Cancelled, and what CatalogWriter and AtomicFile throw.
ExportReport export_snapshot(const Catalog& catalog, const ExportRequest& request,
                             const ExportProgress& progress, const std::atomic<bool>* cancel);

}  // namespace vitrine::engine
