#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "storage/database_keys.h"
#include "storage/database_state.h"
#include "storage/update.h"

namespace vitrine::storage {
namespace {

std::uint64_t sequence_of(const std::string& catalog, std::string_view key) {
  const std::size_t prefix = catalog_prefix(catalog).size();
  std::uint64_t sequence = 0;
  if (key.size() != prefix + sizeof sequence) {
    throw corruption(
        fmt::format("catalog {} has the malformed update key \"{}\"", catalog, printable(key)));
  }
  for (const char byte : key.substr(prefix)) {
    sequence = sequence << 8 | static_cast<unsigned char>(byte);
  }
  return sequence;
}

/// The upload that a record of a product or an update names. Records are JSON with sorted keys and
/// no blanks, so that most need not be parsed to see that they name none.
template <typename Parse>
void collect_upload(std::string_view value, std::set<Sha256Digest>& uploads, const Parse& parse) {
  if (value.find("\"image\":\"upload:") == std::string_view::npos) return;
  if (const auto digest = parse_upload_name(parse())) uploads.insert(*digest);
}

}  // namespace

void Database::put_updates(const std::string& catalog, std::span<const Update> updates,
                           std::span<const Upload> uploads) {
  const std::string context = "cannot store updates of catalog " + catalog;
  rocksdb::WriteBatch batch;
  for (const Upload& upload : uploads) {
    throw_if_error(batch.Put(state_->families[kUploads], upload_key(catalog, upload.digest),
                             slice(upload.bytes)),
                   context);
  }
  for (const Update& update : updates) {
    if (update.sequence == 0) throw invalid_argument("updates count from 1; one has number 0");
    throw_if_error(batch.Put(state_->families[kUpdates], update_key(catalog, update.sequence),
                             encode_update(update)),
                   context);
  }
  state_->write(batch, synced(), context);
}

void Database::read_updates(const std::string& catalog, std::uint64_t after,
                            const std::function<void(Update&&)>& use) const {
  if (after == UINT64_MAX) return;
  state_->scan_prefix(kUpdates, catalog_prefix(catalog), update_key(catalog, after + 1),
                      "cannot read updates of catalog " + catalog,
                      [&](std::string_view key, std::string_view value) {
                        use(decode_update(catalog, sequence_of(catalog, key), value));
                      });
}

std::uint64_t Database::last_update(const std::string& catalog) const {
  const std::string prefix = catalog_prefix(catalog);
  const std::unique_ptr<rocksdb::Iterator> entry(
      state_->db->NewIterator(rocksdb::ReadOptions(), state_->families[kUpdates]));
  entry->SeekForPrev(slice(update_key(catalog, UINT64_MAX)));
  throw_if_error(entry->status(), "cannot read updates of catalog " + catalog);
  const bool is_stored = entry->Valid() && entry->key().starts_with(slice(prefix));
  const std::optional<CatalogPointer> pointer = get_pointer(catalog);
  return std::max(is_stored ? sequence_of(catalog, view(entry->key())) : 0,
                  pointer ? pointer->last_sequence : 0);
}

void Database::delete_updates(const std::string& catalog, std::uint64_t through) {
  const std::string context = "cannot delete updates of catalog " + catalog;
  if (through == UINT64_MAX) throw invalid_argument("update " + std::to_string(through));
  const std::string begin = catalog_prefix(catalog);
  const std::string end = update_key(catalog, through + 1);
  rocksdb::WriteBatch batch;
  throw_if_error(batch.DeleteRange(state_->families[kUpdates], slice(begin), slice(end)), context);
  // Should a power cut bring them back, a generation covers them.
  state_->write_anyway(batch, rocksdb::WriteOptions(), context);
}

std::optional<std::string> Database::get_upload(const std::string& catalog,
                                                const Sha256Digest& digest) const {
  return state_->get(kUploads, upload_key(catalog, digest),
                     "cannot read an uploaded image of catalog " + catalog);
}

std::set<Sha256Digest> Database::list_uploads(const std::string& catalog) const {
  std::set<Sha256Digest> uploads;
  const std::string prefix = catalog_prefix(catalog);
  state_->scan_prefix(kUploads, prefix, prefix, "cannot list uploaded images of catalog " + catalog,
                      [&](std::string_view key, std::string_view) {
                        Sha256Digest digest;
                        if (key.size() != prefix.size() + digest.size()) {
                          throw corruption("catalog " + catalog + " has a malformed upload key");
                        }
                        const std::string_view bytes = key.substr(prefix.size());
                        std::copy(bytes.begin(), bytes.end(), digest.begin());
                        uploads.insert(digest);
                      });
  return uploads;
}

std::set<Sha256Digest> Database::list_named_uploads(const std::string& catalog) const {
  std::set<Sha256Digest> uploads;
  const std::string prefix = catalog_prefix(catalog);
  const std::string context = "cannot read products of catalog " + catalog;
  state_->scan_prefix(
      kProducts, prefix, prefix, context, [&](std::string_view key, std::string_view value) {
        collect_upload(value, uploads,
                       [&] { return decode_product(catalog, printable(key), value).image; });
      });
  state_->scan_prefix(
      kUpdates, prefix, prefix, context, [&](std::string_view key, std::string_view value) {
        collect_upload(value, uploads, [&] {
          return decode_update(catalog, sequence_of(catalog, key), value).product.image;
        });
      });
  return uploads;
}

void Database::delete_uploads(const std::string& catalog, std::span<const Sha256Digest> uploads) {
  const std::string context = "cannot delete uploaded images of catalog " + catalog;
  rocksdb::WriteBatch batch;
  for (const Sha256Digest& digest : uploads) {
    throw_if_error(batch.Delete(state_->families[kUploads], upload_key(catalog, digest)), context);
  }
  state_->write_anyway(batch, rocksdb::WriteOptions(), context);
}

}  // namespace vitrine::storage
