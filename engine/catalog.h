#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/indexing.h"
#include "index/vector_index.h"
#include "storage/product.h"

namespace vitrine::storage {
class Database;
class GenerationStore;
}  // namespace vitrine::storage

namespace vitrine::engine {

/// What a search looks at.
enum class Target { kImage, kCaption };

/// One generation of a catalog, ready to be searched: an immutable snapshot. Whoever holds the
/// shared_ptr may go on reading it however often the catalog is reindexed meanwhile; its files and
/// products are swept only after the last holder is gone. Must not outlive its Engine.
/// Every method may be called from many threads at once.
class Catalog {
 public:
  /// Reads and verifies a generation: every checksum, the two indices, the rows.
  /// Throws Corruption when any of it is damaged, NotFound when the generation is not there.
  static std::shared_ptr<const Catalog> open(const storage::GenerationStore& generations,
                                             const storage::Database& database,
                                             const std::string& name, std::uint64_t generation);
  ~Catalog();
  Catalog(const Catalog&) = delete;
  Catalog& operator=(const Catalog&) = delete;

  const std::string& name() const;
  /// Grows with every reindex.
  std::uint64_t generation() const;
  /// Number of products, at least 1. A product's row is its position in the catalog file among the
  /// products that could be indexed.
  std::size_t size() const;
  /// Columns of every embedding.
  std::size_t dimension() const;
  /// SHA-256 (hex) over the ids, image bytes, captions and attributes of all products in row order.
  /// Equal hashes mean equal content, whatever the file format, folder or index kind.
  const std::string& content_hash() const;
  /// The encoder that made the embeddings.
  const std::string& encoder_fingerprint() const;
  /// When the generation was built, ISO 8601, UTC.
  const std::string& created_at() const;
  /// "flat", "ivf" or "hnsw".
  const std::string& index_kind() const;
  /// Type and location of the images.
  const storage::ImageSourceSpec& image_source() const;
  /// What built this generation: a reindex repeats it.
  const IndexRequest& request() const;

  const std::string& id(std::size_t row) const;
  std::optional<std::size_t> row_of(std::string_view id) const;

  std::optional<storage::Product> product(std::string_view id) const;
  /// In the order of rows. Throws Corruption when a record is missing.
  std::vector<storage::Product> products(std::span<const std::size_t> rows) const;
  /// A product drawn uniformly.
  storage::Product random_product() const;

  /// The bytes of the product's image, as the image source has them now. Throws what the source
  /// throws: NotFound, PermissionDenied, ResourceExhausted, Unavailable.
  std::string read_image(const storage::Product& product) const;

  const index::VectorIndex& index(Target target) const;
  /// Throws FailedPrecondition unless the embeddings were made by the encoder of this fingerprint.
  void require_encoder(const std::string& fingerprint) const;

 private:
  struct State;
  explicit Catalog(std::unique_ptr<const State> state);

  const std::unique_ptr<const State> state_;
};

}  // namespace vitrine::engine
