#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <list>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/sha256.h"
#include "engine/text_length.h"

namespace vitrine::engine {

struct QueryCacheStats {
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::size_t entries = 0;
  std::size_t bytes = 0;      ///< in use, bookkeeping included
  std::size_t max_bytes = 0;  ///< 0: the cache is off
};

/// The embeddings of the queries that were used last, so that a popular search, or the labels of a
/// classification that is asked again and again, do not go through the encoder. One encoder's, in
/// memory; what indexing encodes has a place on disk instead. Thread-safe.
class QueryCache {
 public:
  enum class Kind { kText, kImage };

  struct Entry {
    std::vector<float> embedding;  ///< as the encoder gave it
    TextLength length;             ///< of a text
  };

  /// max_bytes: bound on what the entries take. 0: nothing is kept and nothing is counted.
  explicit QueryCache(std::size_t max_bytes) { stats_.max_bytes = max_bytes; }

  bool enabled() const { return stats_.max_bytes > 0; }

  /// SHA-256 over the kind and the bytes of the text or the image file.
  static Sha256Digest key(Kind kind, std::string_view bytes);

  /// Counts a hit or a miss.
  std::optional<Entry> find(const Sha256Digest& key);
  /// Makes room by dropping what was used longest ago. An entry larger than the cache is not kept.
  void insert(const Sha256Digest& key, Entry entry);

  QueryCacheStats stats() const;

 private:
  using Item = std::pair<Sha256Digest, Entry>;
  struct Hash {
    std::size_t operator()(const Sha256Digest& digest) const {
      std::size_t value;  // any part of a digest is as good as a hash of all of it
      std::memcpy(&value, digest.data(), sizeof value);
      return value;
    }
  };

  mutable std::mutex mutex_;
  std::list<Item> items_;  // guarded by mutex_; used last in front
  std::unordered_map<Sha256Digest, std::list<Item>::iterator, Hash> places_;  // guarded by mutex_
  QueryCacheStats stats_;  // guarded by mutex_, but for max_bytes, which is constant
};

}  // namespace vitrine::engine
