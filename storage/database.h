#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/matrix.h"
#include "base/sha256.h"
#include "storage/product.h"
#include "storage/update.h"

namespace vitrine::storage {

/// What an embedding was made from; images and texts never share a cache entry.
enum class EmbeddingKind : std::uint8_t { kImage = 'i', kText = 't' };

/// Which generation of a catalog is current.
struct CatalogPointer {
  std::uint64_t generation = 0;         ///< the current one; 0 is never published
  std::vector<std::uint64_t> previous;  ///< kept to stand in for a damaged one
  /// The highest number that an update had when this was published. Later ones have higher numbers,
  /// also when its record is gone: what a kept generation covers is told by them.
  std::uint64_t last_sequence = 0;

  /// The current one, and then the others in the order in which they stand in for it: older ones
  /// before newer ones, which were rolled back from, and of either those before others that are
  /// closer to it.
  std::vector<std::uint64_t> kept() const;

  bool operator==(const CatalogPointer&) const = default;
};

struct DatabaseOptions {
  /// Memory for cached blocks, in MiB. Higher: fewer reads from disk. Valid: [1, 65536].
  int block_cache_mb = 64;
  /// Room on the disk that is left free, in MiB: what would take more throws Unavailable; what
  /// removes something does not. Valid: at least 0.
  int reserve_mb = 64;
};

/// Throws InvalidArgument naming the field.
void validate(const DatabaseOptions& options);

/// Products, cached embeddings, catalog pointers and jobs in one RocksDB. Thread-safe; one process
/// at a time opens a folder.
///
/// Durability: what a method has written survives the process's death (kill -9) once the method
/// returned. What survives a power cut: everything before the last put_updates, publish_generation,
/// put_job, delete_products, or put_embeddings a second or more after the last fsync (of embeddings
/// all but the last batches before a pause). Of what is fsynced it is always a prefix.
///
/// Every method throws Corruption when stored bytes fail their checksum or their format,
/// ResourceExhausted when the disk is full, Unavailable when reading or writing fails.
class Database {
 public:
  /// Opens, creating what is missing. Throws Unavailable when another process has it open.
  explicit Database(const std::filesystem::path& path, const DatabaseOptions& options = {});
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// Empty, or what the last process may have stored and this one did not find, and why.
  const std::string& loss() const { return loss_; }

  // Embedding cache, keyed by encoder fingerprint, kind, and SHA-256 of the image bytes or text.

  /// One entry a digest, in their order, absent ones empty. Throws Corruption when a stored
  /// embedding does not have `dimension` finite values.
  std::vector<std::optional<std::vector<float>>> get_embeddings(
      const std::string& fingerprint, EmbeddingKind kind, std::span<const Sha256Digest> digests,
      std::size_t dimension) const;
  /// embeddings: [digests.size(), dimension], finite. All or none are stored.
  void put_embeddings(const std::string& fingerprint, EmbeddingKind kind,
                      std::span<const Sha256Digest> digests, MatrixView embeddings);

  // Products of one generation. Catalog names: check_catalog_name(); generations: at least 1.

  /// All or none are stored. Throws InvalidArgument for a product that find_fault() faults.
  void put_products(const std::string& catalog, std::uint64_t generation,
                    std::span<const Product> products);
  std::optional<Product> get_product(const std::string& catalog, std::uint64_t generation,
                                     const std::string& id) const;
  /// One entry an id, in their order, absent ones empty.
  std::vector<std::optional<Product>> get_products(const std::string& catalog,
                                                   std::uint64_t generation,
                                                   std::span<const std::string> ids) const;
  void delete_products(const std::string& catalog, std::uint64_t generation);
  /// Every (catalog, generation) that has a product, current or not.
  std::vector<std::pair<std::string, std::uint64_t>> list_product_generations() const;

  // Catalog pointers.

  std::optional<CatalogPointer> get_pointer(const std::string& catalog) const;
  /// Sorted by catalog name.
  std::vector<std::pair<std::string, CatalogPointer>> list_pointers() const;
  /// The one atomic, fsynced write that makes a generation current. Its products, and its folder by
  /// GenerationStore::finish, must have been written before.
  void publish_generation(const std::string& catalog, const CatalogPointer& pointer);
  /// Forgets the catalog with its updates and uploads; its generations become sweepable.
  void delete_pointer(const std::string& catalog);

  // Updates (storage/update.h), and the images that came with them.

  /// One atomic, fsynced write; several threads' writes share an fsync. Throws InvalidArgument as
  /// encode_update() does; nothing is written then.
  void put_updates(const std::string& catalog, std::span<const Update> updates,
                   std::span<const Upload> uploads = {});
  /// Calls use() with every update above the sequence number `after`, ascending. They are those of
  /// one moment; what is put meanwhile is not among them.
  void read_updates(const std::string& catalog, std::uint64_t after,
                    const std::function<void(Update&&)>& use) const;
  /// The highest sequence number that was given, of an update that is stored or covered by what was
  /// published; 0 when there is none.
  std::uint64_t last_update(const std::string& catalog) const;
  /// Forgets the updates up to and including that sequence number. Not fsynced.
  void delete_updates(const std::string& catalog, std::uint64_t through);

  std::optional<std::string> get_upload(const std::string& catalog,
                                        const Sha256Digest& digest) const;
  std::set<Sha256Digest> list_uploads(const std::string& catalog) const;
  /// The uploads that a product of any stored generation, or a stored update, names. Reads all of
  /// them: seconds for a million.
  std::set<Sha256Digest> list_named_uploads(const std::string& catalog) const;
  void delete_uploads(const std::string& catalog, std::span<const Sha256Digest> uploads);

  // Jobs: any JSON object under an id of printable ASCII without blanks, at most 128 bytes.

  void put_job(const std::string& id, const nlohmann::json& job);
  /// Stores how a job ended, however full the disk is: put_job() had room for it.
  void finish_job(const std::string& id, const nlohmann::json& job);
  std::optional<nlohmann::json> get_job(const std::string& id) const;
  /// Sorted by id.
  std::vector<std::pair<std::string, nlohmann::json>> list_jobs() const;
  void delete_job(const std::string& id);

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::string loss_;  // constant after construction
};

/// Throws InvalidArgument unless the name matches [A-Za-z0-9_-]{1,64}.
void check_catalog_name(const std::string& name);

}  // namespace vitrine::storage
