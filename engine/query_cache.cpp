#include "engine/query_cache.h"

namespace vitrine::engine {
namespace {

/// Of a list node, a map node and their share of the map's table, about.
constexpr std::size_t kBookkeepingBytes = 192;

std::size_t bytes_of(const QueryCache::Entry& entry) {
  return entry.embedding.size() * sizeof(float) + kBookkeepingBytes;
}

}  // namespace

Sha256Digest QueryCache::key(Kind kind, std::string_view bytes) {
  Sha256 hash;
  hash.update(kind == Kind::kText ? "t" : "i");
  hash.update(bytes);
  return hash.finish();
}

std::optional<QueryCache::Entry> QueryCache::find(const Sha256Digest& key) {
  if (!enabled()) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const auto place = places_.find(key);
  if (place == places_.end()) {
    ++stats_.misses;
    return std::nullopt;
  }
  ++stats_.hits;
  items_.splice(items_.begin(), items_, place->second);
  return place->second->second;
}

void QueryCache::insert(const Sha256Digest& key, Entry entry) {
  const std::size_t bytes = bytes_of(entry);
  if (bytes > stats_.max_bytes) return;
  const std::lock_guard lock(mutex_);
  // Two callers may have missed it at the same time; their embeddings are the same.
  if (places_.contains(key)) return;
  while (stats_.bytes + bytes > stats_.max_bytes) {
    stats_.bytes -= bytes_of(items_.back().second);
    places_.erase(items_.back().first);
    items_.pop_back();
  }
  items_.emplace_front(key, std::move(entry));
  try {
    places_.emplace(key, items_.begin());
  } catch (...) {
    items_.pop_front();
    throw;
  }
  stats_.bytes += bytes;
}

QueryCacheStats QueryCache::stats() const {
  const std::lock_guard lock(mutex_);
  QueryCacheStats stats = stats_;
  stats.entries = items_.size();
  return stats;
}

}  // namespace vitrine::engine
