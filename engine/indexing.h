#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "index/vector_index.h"
#include "storage/image_source.h"
#include "storage/vector_files.h"

namespace vitrine::engine {

/// What to index, and how. Everything but `strict` is remembered by the generation, so that a
/// reindex needs only the catalog's name.
struct IndexRequest {
  /// Name of the catalog, [A-Za-z0-9_-]{1,64}.
  std::string name;
  /// Catalog file: .json, .jsonl, .ndjson or .csv.
  std::string catalog_file;
  /// Where the products' images are. An empty location means the catalog file's folder. Instead of
  /// its max_bytes, EngineOptions::image_limits applies.
  storage::ImageSourceSpec image_source;
  /// Set: where embeddings are taken from. Images are then neither read nor needed, and a record
  /// need not name one.
  std::optional<storage::VectorFiles> vectors;
  /// Kind and build parameters of both indices (images and captions).
  index::IndexSpec index;
  /// What a search uses that does not say; `exact` and `allowed` are not kept.
  index::SearchOptions search;
  /// Whether a tuning chose `index` and `search` (tuning.h), which reindexing and merging keep.
  bool tuned = false;
  /// True: the first product that cannot be indexed ends the run with InvalidArgument.
  /// False: such products are counted and listed in the report.
  bool strict = false;
};

/// Throws InvalidArgument naming the field, or NotFound when the catalog file or a file of vectors
/// is not there.
void validate(const IndexRequest& request);

enum class IndexStage {
  kReading,     ///< the catalog file is read once, to count and to check it
  kEncoding,    ///< images are read, decoded and encoded; captions are encoded
  kBuilding,    ///< the indices are built
  kPublishing,  ///< the generation is written, checked and made current
  kMeasuring,   ///< indices are built and searched by an experiment
};

/// "reading", "encoding", "building", "publishing" or "measuring".
std::string_view to_string(IndexStage stage);

/// Of an experiment what is counted are indices built and ways to search, not products.
struct IndexProgress {
  IndexStage stage = IndexStage::kReading;
  std::uint64_t done = 0;              ///< products finished in this stage, failed ones included
  std::optional<std::uint64_t> total;  ///< products of this stage, once known
  std::uint64_t failed = 0;            ///< products that could not be indexed so far
  double products_per_second = 0;      ///< of this stage, so far; 0 while unknown
  std::optional<double> eta_seconds;   ///< of this stage, once it can be estimated
};

/// Called on the thread that indexes: at most about ten times a second, and once at the beginning
/// and the end of each stage. Must not throw.
using ProgressCallback = std::function<void(const IndexProgress&)>;

struct FailedProduct {
  std::string id;            ///< empty when the record has no usable id
  std::uint64_t record = 0;  ///< 1-based number of the record in the catalog file
  std::string reason;        ///< printable, one line
};

struct IndexReport {
  /// Failures that are listed; further ones are only counted.
  static constexpr std::size_t kMaxListedFailures = 10'000;

  std::uint64_t products = 0;           ///< records in the catalog file, broken ones included
  std::uint64_t indexed = 0;            ///< products in the new generation
  std::uint64_t encoded = 0;            ///< images that went through the encoder
  std::uint64_t cached = 0;             ///< images whose embedding was known already
  std::uint64_t imported = 0;           ///< image embeddings taken from a file
  std::uint64_t captions_encoded = 0;   ///< captions that went through the encoder
  std::uint64_t captions_cached = 0;    ///< captions whose embedding was known already
  std::uint64_t captions_imported = 0;  ///< caption embeddings taken from a file
  std::uint64_t failed = 0;             ///< products == indexed + failed
  std::vector<FailedProduct> failures;  ///< in the file's order, the first kMaxListedFailures
  double seconds = 0;                   ///< wall time of the whole run
  std::uint64_t generation = 0;         ///< number of the generation that is now current
  std::string content_hash;             ///< SHA-256 (hex) over what was indexed; see Catalog
};

}  // namespace vitrine::engine
