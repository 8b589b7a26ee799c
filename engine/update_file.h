#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <istream>
#include <string>
#include <vector>

#include "engine/indexing.h"

namespace vitrine::engine {

class Engine;

/// Products in a file, to be added to a catalog or changed in it.
struct UpsertRequest {
  std::string catalog;
  /// A catalog file (storage::read_catalog()). A record needs its id alone: an image or a caption
  /// that it leaves out, a product that exists keeps, and its attributes when it has none. What it
  /// has replaces all attributes.
  std::filesystem::path file;
  /// Set: JSON lines that are read instead of the file; `file` names it in messages.
  std::istream* lines = nullptr;
  /// True: the first product that cannot be written ends the run with InvalidArgument; what was
  /// written before stays. False: such products are listed in the report.
  bool strict = false;
};

struct UpsertReport {
  std::uint64_t created = 0;
  std::uint64_t changed = 0;
  std::uint64_t failed = 0;
  std::vector<FailedProduct> failures;  ///< the first IndexReport::kMaxListedFailures
  std::uint64_t sequence = 0;           ///< of the last update; 0: nothing was written
};

/// Called with the products dealt with so far. Must not throw.
using UpsertProgress = std::function<void(std::uint64_t done)>;

/// Upserts the products, at most kMaxUpdates at a time, in the file's order. What is written is as
/// Engine::upsert_products() says; of a batch with a bad product, the others are written.
/// Throws what read_catalog() and upsert_products() throw when it is no product's fault.
UpsertReport upsert_file(Engine& engine, const UpsertRequest& request,
                         const UpsertProgress& progress = {});

}  // namespace vitrine::engine
