#pragma once

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "storage/database.h"
#include "storage/rocksdb_status.h"

/// What database.cpp and database_updates.cpp share: the open RocksDB. Not for anybody else.
namespace vitrine::storage {

static_assert(std::endian::native == std::endian::little, "embeddings are stored little-endian");

/// A family that an older program did not know is created when its database is opened.
enum Family : std::size_t {
  kDefault,
  kProducts,
  kEmbeddings,
  kCatalogs,
  kJobs,
  kUpdates,
  kUploads,
  kFamilyCount
};
constexpr const char* kFamilyNames[kFamilyCount] = {"default", "products", "embeddings", "catalogs",
                                                    "jobs",    "updates",  "uploads"};

inline rocksdb::Slice slice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }
inline std::string_view view(const rocksdb::Slice& bytes) { return {bytes.data(), bytes.size()}; }

inline std::int64_t steady_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

inline rocksdb::WriteOptions synced() {
  rocksdb::WriteOptions options;
  options.sync = true;
  return options;
}

/// Keys of one MultiGet: bounds how many blocks it pins at once.
constexpr std::size_t kReadBatch = 256;

/// Throws Corruption.
Product decode_product(const std::string& catalog, const std::string& id, std::string_view value);

struct Database::State {
  std::unique_ptr<rocksdb::DB> db;
  rocksdb::ColumnFamilyHandle* families[kFamilyCount] = {};  // destroyed before db is closed
  std::filesystem::path folder;
  std::uint64_t reserve = 0;  // bytes
  std::atomic<std::int64_t> last_sync_ms{0};
  std::atomic<bool> failed{false};  // a write did
  std::atomic<bool> ended{false};   // no write will succeed any more

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (db == nullptr) return;
    if (failed) {
      // RocksDB's assertions, which Debian's build has, forbid to touch a log file that could not
      // be written, and closing does. What was acknowledged is synced; the process's end closes
      // files.
      static_cast<void>(db.release());
      return;
    }
    // A destructor cannot report; whatever is not written here is recovered from the log.
    db->FlushWAL(true).PermitUncheckedError();
    for (auto* family : families) db->DestroyColumnFamilyHandle(family).PermitUncheckedError();
    db->Close().PermitUncheckedError();
  }

  /// Never inlined, so that write() is a frame of whatever happens below: by it
  /// tests/sanitizers/tsan.supp knows RocksDB's group commit. What RocksDB throws, for want of
  /// memory, ends the process: it leaves the writer at the head of its queue, behind which every
  /// later write would wait for ever. A restart finds all that was acknowledged.
  [[gnu::noinline]] rocksdb::Status commit(rocksdb::WriteBatch& batch,
                                           const rocksdb::WriteOptions& options) noexcept {
    return db->Write(options, &batch);
  }

  /// Throws Unavailable where the disk is so full that RocksDB itself may soon want for room: it
  /// takes that worse than to be asked for nothing.
  void require_room(const std::string& context) const {
    std::error_code code;
    const std::uintmax_t available = std::filesystem::space(folder, code).available;
    if (code || available >= reserve) return;
    throw unavailable(fmt::format("{}: only {} MiB are free where {} is, and {} are kept", context,
                                  available >> 20, folder.string(), reserve >> 20));
  }

  void write(rocksdb::WriteBatch& batch, const rocksdb::WriteOptions& options,
             const std::string& context) {
    require_room(context);
    write_anyway(batch, options, context);
  }

  /// However full the disk is: what is removed makes room.
  void write_anyway(rocksdb::WriteBatch& batch, const rocksdb::WriteOptions& options,
                    const std::string& context) {
    const rocksdb::Status status = commit(batch, options);
    if (!status.ok()) failed = true;
    // Where the disk was full RocksDB goes on once it is not.
    if (!status.ok() && !status.IsNoSpace() && !ended.exchange(true)) {
      spdlog::error(
          "no update and no job can be stored from now on, searches go on; mend what is in the "
          "way, and restart: {}",
          status.ToString());
    }
    throw_if_error(status, context);
    if (options.sync) last_sync_ms = steady_ms();
  }

  void put(Family family, const std::string& key, const std::string& value,
           const std::string& context) {
    require_room(context);
    put_anyway(family, key, value, context);
  }

  void put_anyway(Family family, const std::string& key, const std::string& value,
                  const std::string& context) {
    rocksdb::WriteBatch batch;
    throw_if_error(batch.Put(families[family], key, value), context);
    write_anyway(batch, synced(), context);
  }

  void remove(Family family, const std::string& key, const std::string& context) {
    rocksdb::WriteBatch batch;
    throw_if_error(batch.Delete(families[family], key), context);
    write_anyway(batch, synced(), context);
  }

  std::optional<std::string> get(Family family, const std::string& key,
                                 const std::string& context) const {
    std::string value;
    const rocksdb::Status status =
        db->Get(rocksdb::ReadOptions(), families[family], slice(key), &value);
    if (status.IsNotFound()) return std::nullopt;
    throw_if_error(status, context);
    return value;
  }

  /// Calls use(i, value) for each key that is present.
  template <typename Use>
  void multi_get(Family family, const std::vector<std::string>& keys, const std::string& context,
                 const Use& use) const {
    for (std::size_t start = 0; start < keys.size(); start += kReadBatch) {
      const std::size_t count = std::min(kReadBatch, keys.size() - start);
      std::vector<rocksdb::Slice> slices;
      slices.reserve(count);
      for (std::size_t i = 0; i < count; ++i) slices.push_back(slice(keys[start + i]));
      std::vector<rocksdb::PinnableSlice> values(count);
      std::vector<rocksdb::Status> statuses(count);
      db->MultiGet(rocksdb::ReadOptions(), families[family], count, slices.data(), values.data(),
                   statuses.data());
      for (std::size_t i = 0; i < count; ++i) {
        if (statuses[i].IsNotFound()) continue;
        throw_if_error(statuses[i], context);
        use(start + i, view(values[i]));
      }
    }
  }

  /// Calls use(key, value) for every entry whose key begins with prefix and is not below `first`,
  /// in key order.
  template <typename Use>
  void scan_prefix(Family family, const std::string& prefix, const std::string& first,
                   const std::string& context, const Use& use) const {
    const std::unique_ptr<rocksdb::Iterator> entry(
        db->NewIterator(rocksdb::ReadOptions(), families[family]));
    for (entry->Seek(slice(first)); entry->Valid() && entry->key().starts_with(slice(prefix));
         entry->Next()) {
      use(view(entry->key()), view(entry->value()));
    }
    throw_if_error(entry->status(), context);
  }

  /// Calls use(key, value) for every entry of the family, in key order.
  template <typename Use>
  void scan(Family family, const std::string& context, const Use& use) const {
    const std::unique_ptr<rocksdb::Iterator> entry(
        db->NewIterator(rocksdb::ReadOptions(), families[family]));
    for (entry->SeekToFirst(); entry->Valid(); entry->Next()) {
      use(entry->key().ToString(), view(entry->value()));
    }
    throw_if_error(entry->status(), context);
  }
};

}  // namespace vitrine::storage
