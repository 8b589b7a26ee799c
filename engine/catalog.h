#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/delta.h"
#include "engine/filter/attribute_index.h"
#include "engine/indexing.h"
#include "engine/target.h"
#include "index/vector_index.h"
#include "storage/product.h"

namespace vitrine::storage {
class Database;
class GenerationStore;
struct Manifest;
}  // namespace vitrine::storage

namespace vitrine::engine {

/// What of an engine's options every generation is opened with.
struct GenerationOptions {
  index::DeviceOptions device;        ///< what gets copies of the indices
  std::uint64_t image_max_bytes = 0;  ///< of an image that is read
};

/// A catalog at one moment, ready to be searched: an immutable snapshot of a generation and of the
/// updates on top of it. Whoever holds the shared_ptr may go on reading it however often the
/// catalog is updated or reindexed meanwhile; its files and products are swept only after the last
/// holder is gone. Must not outlive its Engine.
/// Every method may be called from many threads at once.
///
/// Rows: first those of the generation, [0, base_rows()), then those of the delta, up to rows().
/// Some are dead: deleted, or replaced by a later row.
class Catalog {
 public:
  /// Reads and verifies a generation: every checksum, the two indices, the rows. No updates.
  /// Throws Corruption when any of it is damaged, NotFound when the generation is not there.
  static std::shared_ptr<const Catalog> open(const storage::GenerationStore& generations,
                                             const storage::Database& database,
                                             const std::string& name, std::uint64_t generation,
                                             const GenerationOptions& options);
  /// The same generation with other updates, made by a DeltaEdit of delta().
  std::shared_ptr<const Catalog> with(Delta delta) const;
  ~Catalog();
  Catalog(const Catalog&) = delete;
  Catalog& operator=(const Catalog&) = delete;

  const std::string& name() const;
  /// Grows with every reindex.
  std::uint64_t generation() const;
  /// Number of products; 0 once all are deleted.
  std::size_t size() const;
  /// Rows of the generation, at least 1. A product's row there is its position in the catalog file
  /// among the products that could be indexed.
  std::size_t base_rows() const;
  /// Rows of the generation and of the delta, dead ones included.
  std::size_t rows() const { return base_rows() + delta_.rows(); }
  /// row: below rows(), which is not checked.
  bool is_live(std::size_t row) const;
  /// Ascending, size() of them.
  std::vector<std::size_t> live_rows() const;
  /// What changed since the generation was built.
  const Delta& delta() const { return delta_; }
  /// The last update that this snapshot contains.
  std::uint64_t sequence() const { return delta_.sequence(); }
  /// Columns of every embedding.
  std::size_t dimension() const;
  /// SHA-256 (hex) over the ids, image bytes, captions and attributes of the generation's products
  /// in row order; of a merged one, over the hash of the generation it was made from and what was
  /// changed. Of imported vectors, over them and the images' names instead of bytes. Equal hashes
  /// mean equal content, whatever the file format, folder or index kind.
  const std::string& content_hash() const;
  /// The encoder that made the embeddings.
  const std::string& encoder_fingerprint() const;
  /// When the generation was built, ISO 8601, UTC.
  const std::string& created_at() const;
  /// "flat", "ivf", "ivf_pq" or "hnsw".
  const std::string& index_kind() const;
  /// Where the two indices are searched: VectorIndex::device(), or "mixed" where they differ.
  std::string index_device() const;
  /// Type and location of the images.
  const storage::ImageSourceSpec& image_source() const;
  /// What built this generation: a reindex repeats it.
  const IndexRequest& request() const;

  /// Of a dead row, too: the product that it was.
  std::string_view id(std::size_t row) const;
  /// The live row.
  std::optional<std::size_t> row_of(std::string_view id) const;
  /// The same; throws NotFound when there is no such product.
  std::size_t require_row(std::string_view id) const;
  /// The row that the generation has of a product, though it may be dead.
  std::optional<std::size_t> base_row_of(std::string_view id) const;

  std::optional<storage::Product> product(std::string_view id) const;
  /// In the order of the given rows, which may be dead. Throws Corruption when a record is missing.
  std::vector<storage::Product> products(std::span<const std::size_t> rows) const;
  /// A product drawn uniformly. Throws NotFound when there is none.
  storage::Product random_product() const;

  /// The bytes of the product's image: uploaded, or as the image source has them now. Throws
  /// NotFound, and what the source throws: PermissionDenied, ResourceExhausted, Unavailable.
  std::string read_image(const storage::Product& product) const;
  /// The same of any image of the image source, by its name.
  std::string read_source_image(const std::string& image) const;

  /// The best live rows of each query, as VectorIndex::search() gives them: the index's hits and an
  /// exact scan of the delta, merged; equal scores by ascending row.
  /// options.allowed: of the generation's rows; delta_allowed: of the delta's. null: all live ones.
  index::SearchResult search(Target target, MatrixView queries, int k,
                             const index::SearchOptions& options,
                             const index::RowSet* delta_allowed = nullptr) const;
  /// The embedding of a row, dead or alive. Throws InvalidArgument when there is no such row.
  std::vector<float> vector(Target target, std::size_t row) const;
  /// Embeddings of some 512 rows spread over the generation, fewer when it has fewer; always the
  /// same ones. The first call reads them, all snapshots of the generation share them.
  MatrixView sample(Target target) const;

  /// Of the generation's products, dead ones included.
  const AttributeIndex& attributes() const;
  /// The generation's index alone: it knows neither delta nor tombstones.
  const index::VectorIndex& index(Target target) const;
  /// Expires when nobody reads the generation any more, whatever its updates.
  std::weak_ptr<const void> generation_lifetime() const { return state_; }
  /// Throws FailedPrecondition unless the embeddings were made by the encoder of this fingerprint.
  void require_encoder(const std::string& fingerprint) const;

 private:
  struct State;
  Catalog(std::shared_ptr<const State> state, Delta delta);

  const std::shared_ptr<const State> state_;  // of the generation
  const Delta delta_;
};

/// What a generation was made from, but for max_bytes of its image source.
IndexRequest request_of(const storage::Manifest& manifest);

}  // namespace vitrine::engine
