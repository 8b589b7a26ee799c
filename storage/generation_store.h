#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/image_source.h"
#include "storage/vector_files.h"

namespace vitrine::storage {

class Database;

// Names of the files of a generation's folder.
inline constexpr const char* kImageIndexFile = "index.faiss";       ///< of the image embeddings
inline constexpr const char* kCaptionIndexFile = "captions.faiss";  ///< of the caption embeddings
inline constexpr const char* kRowsFile = "rows";                    ///< row -> product id
inline constexpr const char* kManifestFile = "manifest.json";

/// The files that end with a digest of their own, which whoever opens them verifies
/// (index/vector_index.h).
inline constexpr std::array<std::string_view, 2> kIndexFiles = {kImageIndexFile, kCaptionIndexFile};

/// What the digest of a file in a manifest is.
enum class DigestKind : std::uint8_t {
  kSha256,  ///< SHA-256 of the file; only of generations written by older versions
  kPieces,  ///< digest_of() the file (base/checksum.h)
  kOwn,     ///< the last 32 bytes of the file, by which it verifies itself
};

struct GenerationFile {
  std::string name;
  std::uint64_t size = 0;  ///< bytes
  DigestKind kind = DigestKind::kPieces;
  std::string digest;  ///< 64 hexadecimal digits

  bool operator==(const GenerationFile&) const = default;
};

/// What a generation is made of; stored in it as manifest.json, itself checksummed.
struct Manifest {
  std::string catalog;
  std::uint64_t generation = 0;
  std::string encoder_fingerprint;
  int dimension = 0;
  nlohmann::json index =
      nlohmann::json::object();  ///< kind and parameters, as the engine writes it
  std::uint64_t product_count = 0;
  ImageSourceSpec image_source;        ///< type and location; max_bytes is not stored
  std::string catalog_file;            ///< the file it was made from
  std::optional<VectorFiles> vectors;  ///< where the embeddings came from, if not of the encoder
  std::string content_hash;            ///< of the catalog's records and image bytes
  std::string created_at;              ///< RFC 3339, UTC
  /// The catalog's updates up to this sequence number are contained in the generation, or replaced
  /// by the file it was made from; later ones go on top of it (storage/update.h).
  std::uint64_t covered_sequence = 0;
  std::vector<GenerationFile> files;  ///< filled by GenerationStore::finish

  bool operator==(const Manifest&) const = default;
};

/// The folders generations/<catalog>/<n>/ below a data folder: written once, checksummed, never
/// changed. Thread-safe as long as nobody sweeps a generation that another thread still writes.
/// Which one is current is not known here but in Database (CatalogPointer).
class GenerationStore {
 public:
  /// Creates data_dir/generations.
  explicit GenerationStore(const std::filesystem::path& data_dir);

  struct NewGeneration {
    std::uint64_t number;
    std::filesystem::path folder;  ///< exists and is empty
  };
  /// A new folder, numbered above every existing one and above newer_than (pass the catalog
  /// pointer's generation). Until published it counts as a crash's leftover and may be swept.
  NewGeneration begin(const std::string& catalog, std::uint64_t newer_than = 0);

  /// Call with every file written: lists the folder's files in the manifest with size and digest,
  /// and makes all of it survive a power cut. manifest.catalog and .generation say which folder.
  /// Files in self_verifying end with a digest of all before it; they are not read.
  /// Returns the manifest as stored. Publish afterwards.
  Manifest finish(Manifest manifest, std::span<const std::string_view> self_verifying = {});

  /// Reads the manifest and verifies every file against it, on the OpenMP threads of the calling
  /// thread; of a file that verifies itself only size and digest, so that one of another
  /// generation is noticed: whoever opens it reads the rest. Throws NotFound without a folder,
  /// Corruption naming the damaged or missing file.
  Manifest open(const std::string& catalog, std::uint64_t generation) const;

  /// The manifest alone: its own checksum is verified, the files are not. Throws as open() does.
  Manifest read_manifest(const std::string& catalog, std::uint64_t generation) const;

  std::filesystem::path folder(const std::string& catalog, std::uint64_t generation) const;
  std::vector<std::string> catalogs() const;
  /// Ascending; finished or not.
  std::vector<std::uint64_t> generations(const std::string& catalog) const;

  /// Removes every folder of the catalog but those of `keep`; returns what was removed.
  std::vector<std::filesystem::path> sweep(const std::string& catalog,
                                           const std::set<std::uint64_t>& keep);

 private:
  const std::filesystem::path root_;
};

using GenerationSet = std::map<std::string, std::set<std::uint64_t>>;  ///< by catalog

/// Removes the folders and the products of every generation that neither a catalog pointer
/// (current or previous) nor `in_use` (being built, or searched by a snapshot) names. Products go
/// first, so that a number whose folder is gone has no products left. Returns how many generations
/// were removed. Not to run beside a begin() that in_use does not list.
std::size_t sweep_generations(Database& database, GenerationStore& store,
                              const GenerationSet& in_use = {});

}  // namespace vitrine::storage
