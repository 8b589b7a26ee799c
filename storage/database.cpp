#include "storage/database.h"

#include <fmt/format.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <system_error>

#include "base/descriptor.h"
#include "base/error.h"
#include "base/text.h"
#include "storage/database_keys.h"
#include "storage/database_state.h"
#include "storage/rocksdb_logger.h"
#include "storage/rocksdb_status.h"

namespace vitrine::storage {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxJobIdBytes = 128;
/// put_embeddings fsyncs at most this often.
constexpr std::chrono::milliseconds kEmbeddingSyncInterval{1000};

rocksdb::DBOptions database_options(rocksdb::WALRecoveryMode recovery) {
  rocksdb::DBOptions options;
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  options.paranoid_checks = true;
  options.track_and_verify_wals_in_manifest = true;
  options.wal_recovery_mode = recovery;
  options.db_write_buffer_size = 64u << 20;
  options.max_total_wal_size = 128u << 20;
  options.max_open_files = 512;
  options.info_log = std::make_shared<RocksdbLogger>();
  return options;
}

rocksdb::ColumnFamilyOptions family_options(Family family,
                                            const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  rocksdb::ColumnFamilyOptions options;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.force_consistency_checks = true;
  const auto supported = rocksdb::GetSupportedCompressions();
  const bool lz4 =
      std::find(supported.begin(), supported.end(), rocksdb::kLZ4Compression) != supported.end();
  // Neither float mantissas nor image files compress.
  const bool compressible = family != kEmbeddings && family != kUpdates && family != kUploads;
  options.compression = compressible && lz4 ? rocksdb::kLZ4Compression : rocksdb::kNoCompression;
  if (family == kUploads) {
    // Compaction moves the keys of images, not their bytes.
    options.enable_blob_files = true;
    options.min_blob_size = 4096;
    options.enable_blob_garbage_collection = true;
  }
  return options;
}

std::string encode_product(const Product& product) {
  return json{
      {"image", product.image}, {"caption", product.caption}, {"attributes", product.attributes}}
      .dump();
}

CatalogPointer decode_pointer(const std::string& catalog, std::string_view value) {
  try {
    const json record = json::parse(value);
    return {record.at("generation").get<std::uint64_t>(),
            record.at("previous").get<std::vector<std::uint64_t>>(),
            record.value("last_sequence", std::uint64_t{0})};  // older programs wrote none
  } catch (const json::exception& error) {
    throw corruption(
        fmt::format("the stored pointer of catalog {} is malformed: {}", catalog, error.what()));
  }
}

json decode_job(const std::string& id, std::string_view value) {
  try {
    return json::parse(value);
  } catch (const json::exception& error) {
    throw corruption(fmt::format("the stored job {} is malformed: {}", id, error.what()));
  }
}

void check_job_id(const std::string& id) {
  const bool valid = !id.empty() && id.size() <= kMaxJobIdBytes &&
                     std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!valid) {
    throw invalid_argument(
        fmt::format("job id \"{}\"; it must be 1 to {} printable ASCII "
                    "characters without blanks",
                    printable(id), kMaxJobIdBytes));
  }
}

std::string encode_job(const std::string& id, const json& job) {
  check_job_id(id);
  if (!job.is_object()) {
    throw invalid_argument(
        fmt::format("job {} is a JSON {}; it must be an object", id, job.type_name()));
  }
  // A job may quote foreign bytes (a file name in an error): keep the job, replace the bytes.
  return job.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

Product decode_product(const std::string& catalog, const std::string& id, std::string_view value) {
  try {
    json record = json::parse(value);
    Product product{id, record.at("image").get<std::string>(),
                    record.at("caption").get<std::string>(), std::move(record.at("attributes"))};
    return product;
  } catch (const json::exception& error) {
    throw corruption(fmt::format("the stored product \"{}\" of catalog {} is malformed: {}",
                                 printable(id), catalog, error.what()));
  }
}

void validate(const DatabaseOptions& options) {
  if (options.block_cache_mb < 1 || options.block_cache_mb > 65536) {
    throw invalid_argument(
        fmt::format("block_cache_mb is {}; it must be 1 to 65536", options.block_cache_mb));
  }
  if (options.reserve_mb < 0) {
    throw invalid_argument(
        fmt::format("reserve_mb is {}; it must not be negative", options.reserve_mb));
  }
}

std::vector<std::uint64_t> CatalogPointer::kept() const {
  std::vector<std::uint64_t> generations = {generation};
  generations.insert(generations.end(), previous.begin(), previous.end());
  std::sort(generations.begin() + 1, generations.end(), [this](std::uint64_t a, std::uint64_t b) {
    const bool a_is_older = a < generation;
    if (a_is_older != (b < generation)) return a_is_older;
    return a_is_older ? a > b : a < b;
  });
  return generations;
}

void check_catalog_name(const std::string& name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  };
  if (name.empty() || name.size() > 64 || !std::all_of(name.begin(), name.end(), allowed)) {
    throw invalid_argument(
        fmt::format("catalog name \"{}\"; it must be 1 to 64 of A-Z a-z 0-9 _ -", printable(name)));
  }
}

Database::Database(const std::filesystem::path& path, const DatabaseOptions& options)
    : state_(std::make_unique<State>()) {
  validate(options);
  std::error_code code;
  std::filesystem::create_directories(path, code);
  if (code) throw system_error("cannot create", path, code);

  const std::shared_ptr<rocksdb::Cache> cache =
      rocksdb::NewLRUCache(static_cast<std::size_t>(options.block_cache_mb) << 20);
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (std::size_t i = 0; i < kFamilyCount; ++i) {
    descriptors.emplace_back(kFamilyNames[i], family_options(static_cast<Family>(i), cache));
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  const auto open = [&](rocksdb::WALRecoveryMode recovery) {
    return rocksdb::DB::Open(database_options(recovery), path.string(), descriptors, &handles, &db);
  };
  // The log of a process that died ends in the middle of a record that nobody was told of. If it is
  // damaged before its end, what lies before that is kept, and somebody must know.
  rocksdb::Status status = open(rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords);
  if (status.IsCorruption()) {
    const std::string damage = status.ToString();
    status = open(rocksdb::WALRecoveryMode::kPointInTimeRecovery);
    if (status.ok()) {
      loss_ = fmt::format(
          "the database's log was damaged, and what was stored last may be lost, updates and whole "
          "generations among it ({}); repeat those updates, or reindex",
          damage);
      spdlog::error("{}: {}", path.string(), loss_);
    }
  }
  if (status.IsInvalidArgument()) {
    throw failed_precondition(fmt::format("{} was written by another version of this program: {}",
                                          path.string(), status.ToString()));
  }
  throw_if_error(status, "cannot open the database " + path.string());
  state_->db.reset(db);
  state_->folder = path;
  state_->reserve = static_cast<std::uint64_t>(options.reserve_mb) << 20;
  std::copy(handles.begin(), handles.end(), state_->families);
}

Database::~Database() = default;

std::vector<std::optional<std::vector<float>>> Database::get_embeddings(
    const std::string& fingerprint, EmbeddingKind kind, std::span<const Sha256Digest> digests,
    std::size_t dimension) const {
  const std::string prefix = embedding_prefix(fingerprint, kind);
  std::vector<std::string> keys;
  keys.reserve(digests.size());
  for (const Sha256Digest& digest : digests) keys.push_back(embedding_key(prefix, digest));

  std::vector<std::optional<std::vector<float>>> result(digests.size());
  state_->multi_get(
      kEmbeddings, keys, "cannot read embeddings", [&](std::size_t i, std::string_view value) {
        if (value.size() != dimension * sizeof(float)) {
          throw corruption(
              fmt::format("the stored embedding of {} has {} bytes; {} dimensions "
                          "need {}",
                          to_hex(digests[i]), value.size(), dimension, dimension * sizeof(float)));
        }
        std::vector<float>& embedding = result[i].emplace(dimension);
        std::memcpy(embedding.data(), value.data(), value.size());
        if (!std::all_of(embedding.begin(), embedding.end(),
                         [](float x) { return std::isfinite(x); })) {
          throw corruption(
              fmt::format("the stored embedding of {} is not finite", to_hex(digests[i])));
        }
      });
  return result;
}

void Database::put_embeddings(const std::string& fingerprint, EmbeddingKind kind,
                              std::span<const Sha256Digest> digests, MatrixView embeddings) {
  if (embeddings.rows != digests.size() || embeddings.cols == 0) {
    throw invalid_argument(
        fmt::format("{} embeddings of {} dimensions for {} digests; one of at "
                    "least 1 dimension is needed for each",
                    embeddings.rows, embeddings.cols, digests.size()));
  }
  const std::string context = "cannot store embeddings";
  const std::string prefix = embedding_prefix(fingerprint, kind);
  rocksdb::WriteBatch batch;
  for (std::size_t i = 0; i < digests.size(); ++i) {
    const auto row = embeddings.row(i);
    if (!std::all_of(row.begin(), row.end(), [](float x) { return std::isfinite(x); })) {
      throw invalid_argument(fmt::format("the embedding of {} is not finite", to_hex(digests[i])));
    }
    const rocksdb::Slice value(reinterpret_cast<const char*>(row.data()), row.size_bytes());
    throw_if_error(
        batch.Put(state_->families[kEmbeddings], embedding_key(prefix, digests[i]), value),
        context);
  }
  rocksdb::WriteOptions options;
  options.sync = steady_ms() - state_->last_sync_ms >= kEmbeddingSyncInterval.count();
  state_->write(batch, options, context);
}

void Database::put_products(const std::string& catalog, std::uint64_t generation,
                            std::span<const Product> products) {
  const std::string context = "cannot store products of catalog " + catalog;
  const std::string prefix = product_prefix(catalog, generation);
  rocksdb::WriteBatch batch;
  for (const Product& product : products) {
    if (const std::string fault = find_fault(product, ImageName::kOptional); !fault.empty()) {
      throw invalid_argument(fmt::format("product \"{}\": {}", printable(product.id), fault));
    }
    throw_if_error(
        batch.Put(state_->families[kProducts], prefix + product.id, encode_product(product)),
        context);
  }
  state_->write(batch, rocksdb::WriteOptions(), context);
}

std::optional<Product> Database::get_product(const std::string& catalog, std::uint64_t generation,
                                             const std::string& id) const {
  return std::move(get_products(catalog, generation, {&id, 1}).front());
}

std::vector<std::optional<Product>> Database::get_products(const std::string& catalog,
                                                           std::uint64_t generation,
                                                           std::span<const std::string> ids) const {
  const std::string prefix = product_prefix(catalog, generation);
  std::vector<std::string> keys;
  keys.reserve(ids.size());
  for (const std::string& id : ids) keys.push_back(prefix + id);
  std::vector<std::optional<Product>> result(ids.size());
  state_->multi_get(kProducts, keys, "cannot read products of catalog " + catalog,
                    [&](std::size_t i, std::string_view value) {
                      result[i] = decode_product(catalog, ids[i], value);
                    });
  return result;
}

void Database::delete_products(const std::string& catalog, std::uint64_t generation) {
  const std::string context = "cannot delete products of catalog " + catalog;
  const std::string begin = product_prefix(catalog, generation);
  const std::string end = after_prefix(begin);
  rocksdb::WriteBatch batch;
  throw_if_error(batch.DeleteRange(state_->families[kProducts], slice(begin), slice(end)), context);
  state_->write_anyway(batch, synced(), context);
}

std::vector<std::pair<std::string, std::uint64_t>> Database::list_product_generations() const {
  std::vector<std::pair<std::string, std::uint64_t>> result;
  const std::unique_ptr<rocksdb::Iterator> entry(
      state_->db->NewIterator(rocksdb::ReadOptions(), state_->families[kProducts]));
  entry->SeekToFirst();
  while (entry->Valid()) {
    auto owner = parse_product_prefix(view(entry->key()));
    if (!owner) {
      throw corruption("malformed product key \"" + printable(view(entry->key())) + "\"");
    }
    // Ids are never empty nor start with 0xff: this is past the last product of the generation.
    entry->Seek(product_prefix(owner->first, owner->second) + '\xff');
    result.push_back(std::move(*owner));
  }
  throw_if_error(entry->status(), "cannot list products");
  return result;
}

std::optional<CatalogPointer> Database::get_pointer(const std::string& catalog) const {
  check_catalog_name(catalog);
  const auto value = state_->get(kCatalogs, catalog, "cannot read the pointer of " + catalog);
  if (!value) return std::nullopt;
  return decode_pointer(catalog, *value);
}

std::vector<std::pair<std::string, CatalogPointer>> Database::list_pointers() const {
  std::vector<std::pair<std::string, CatalogPointer>> result;
  state_->scan(kCatalogs, "cannot list catalogs",
               [&](const std::string& key, std::string_view value) {
                 result.emplace_back(key, decode_pointer(key, value));
               });
  return result;
}

void Database::publish_generation(const std::string& catalog, const CatalogPointer& pointer) {
  check_catalog_name(catalog);
  if (pointer.generation == 0) {
    throw invalid_argument("generation 0 of catalog " + catalog + "; generations count from 1");
  }
  state_->put(kCatalogs, catalog,
              json{{"generation", pointer.generation},
                   {"previous", pointer.previous},
                   {"last_sequence", pointer.last_sequence}}
                  .dump(),
              "cannot publish a generation of " + catalog);
}

void Database::delete_pointer(const std::string& catalog) {
  const std::string context = "cannot delete the pointer of " + catalog;
  const std::string prefix = catalog_prefix(catalog);
  const std::string end = after_prefix(prefix);
  rocksdb::WriteBatch batch;
  throw_if_error(batch.Delete(state_->families[kCatalogs], catalog), context);
  for (const Family family : {kUpdates, kUploads}) {
    throw_if_error(batch.DeleteRange(state_->families[family], slice(prefix), slice(end)), context);
  }
  state_->write_anyway(batch, synced(), context);
}

void Database::put_job(const std::string& id, const json& job) {
  state_->put(kJobs, id, encode_job(id, job), "cannot store job " + id);
}

void Database::finish_job(const std::string& id, const json& job) {
  state_->put_anyway(kJobs, id, encode_job(id, job), "cannot store how job " + id + " ended");
}

std::optional<json> Database::get_job(const std::string& id) const {
  check_job_id(id);
  const auto value = state_->get(kJobs, id, "cannot read job " + id);
  if (!value) return std::nullopt;
  return decode_job(id, *value);
}

std::vector<std::pair<std::string, json>> Database::list_jobs() const {
  std::vector<std::pair<std::string, json>> result;
  state_->scan(kJobs, "cannot list jobs", [&](const std::string& key, std::string_view value) {
    result.emplace_back(key, decode_job(key, value));
  });
  return result;
}

void Database::delete_job(const std::string& id) {
  check_job_id(id);
  state_->remove(kJobs, id, "cannot delete job " + id);
}

}  // namespace vitrine::storage
