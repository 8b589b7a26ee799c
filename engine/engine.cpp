#include "engine/engine.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <numeric>
#include <set>
#include <utility>

#include "base/compute_threads.h"
#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "engine/batching_encoder.h"
#include "engine/catalog_set.h"
#include "engine/compute_slots.h"
#include "engine/indexing_pipeline.h"
#include "engine/job_runner.h"
#include "engine/merge_policy.h"
#include "engine/merge_scheduler.h"
#include "engine/merging.h"
#include "engine/query_cache.h"
#include "engine/timestamp.h"
#include "engine/update_encoder.h"
#include "engine/vectors.h"
#include "storage/database.h"
#include "storage/generation_store.h"

namespace vitrine::engine {
namespace {

using Clock = std::chrono::steady_clock;

/// Runs work(); when input i is one of several, an error says which one it was.
template <typename Work>
void naming_input(std::string_view what, std::size_t i, std::size_t count, const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    if (count == 1) throw;
    throw Error(error.code(), fmt::format("{} {}: {}", what, i + 1, error.what()));
  }
}

void check_text(const std::string& text) {
  if (text.size() > kMaxTextBytes) {
    throw invalid_argument(
        fmt::format("the text has {} bytes; at most {} are encoded", text.size(), kMaxTextBytes));
  }
  if (const auto offset = find_invalid_utf8(text)) {
    throw invalid_argument(fmt::format("the text \"{}\" is not UTF-8: byte {} is malformed",
                                       printable(text), *offset));
  }
}

void normalise_rows(Matrix& rows) {
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    if (!normalise_row(rows.row(i))) {
      throw internal_error("the encoder gave an embedding without a direction");
    }
  }
}

/// fingerprint: of the encoder that searches.
CatalogSummary summary_of(const std::string& name, const CatalogSet::Entry& entry,
                          const std::string& fingerprint) {
  CatalogSummary summary;
  summary.name = name;
  summary.problem = entry.problem;
  if (!entry.loss.empty()) {
    summary.problem += (entry.problem.empty() ? "" : "; ") + entry.loss;
  }
  if (entry.catalog) {
    const Catalog& catalog = *entry.catalog;
    summary.generation = catalog.generation();
    summary.products = catalog.size();
    summary.sequence = catalog.sequence();
    summary.delta_rows = catalog.delta().rows();
    summary.tombstones = catalog.delta().tombstones();
    summary.index_kind = catalog.index_kind();
    summary.index_device = catalog.index_device();
    const auto vectors = 2 * static_cast<double>(catalog.base_rows());
    for (const Target target : {Target::kImage, Target::kCaption}) {
      const index::IndexMemory& memory = catalog.index(target).memory();
      summary.mapped_bytes_per_vector += static_cast<double>(memory.mapped) / vectors;
      summary.heap_bytes_per_vector += static_cast<double>(memory.heap) / vectors;
    }
    summary.content_hash = catalog.content_hash();
    summary.created_at = catalog.created_at();
    summary.image_source_type = catalog.image_source().type;
    summary.image_source_location = catalog.image_source().location;
    summary.encoder_fingerprint = catalog.encoder_fingerprint();
    try {
      catalog.require_encoder(fingerprint);
      summary.searchable = true;
    } catch (const Error& error) {
      summary.problem = error.what();
    }
  }
  return summary;
}

}  // namespace

void EngineOptions::validate() const {
  if (keep_generations < 1 || keep_generations > 100) {
    throw invalid_argument(
        fmt::format("keep_generations {} is out of range; valid: 1 to 100", keep_generations));
  }
  if (decode_threads < 0 || decode_threads > 1024) {
    throw invalid_argument(
        fmt::format("decode_threads {} is out of range; valid: 0 to 1024", decode_threads));
  }
  if (compute_threads < 0 || compute_threads > 1024) {
    throw invalid_argument(
        fmt::format("compute_threads {} is out of range; valid: 0 to 1024", compute_threads));
  }
  if (max_waiting < 1 || max_waiting > 1'000'000) {
    throw invalid_argument(
        fmt::format("max_waiting {} is out of range; valid: 1 to 1000000", max_waiting));
  }
  if (query_cache_mb < 0 || query_cache_mb > 65536) {
    throw invalid_argument(
        fmt::format("query_cache_mb {} is out of range; valid: 0 to 65536", query_cache_mb));
  }
  if (max_unmerged < 1 || max_unmerged > 10'000'000) {
    throw invalid_argument(
        fmt::format("max_unmerged {} is out of range; valid: 1 to 10000000", max_unmerged));
  }
  if (merge_size < 0 || merge_size > max_unmerged) {
    throw invalid_argument(
        fmt::format("merge_size {} is out of range; valid: 0 to {}", merge_size, max_unmerged));
  }
  if (merge_age_sec < 0 || merge_age_sec > 31'536'000) {
    throw invalid_argument(
        fmt::format("merge_age_sec {} is out of range; valid: 0 to 31536000", merge_age_sec));
  }
}

class Engine::Impl {
 public:
  Impl(const EngineOptions& options, std::unique_ptr<const encoder::Encoder> encoder)
      : options_(validated(options)),
        encoder_(std::move(encoder)),
        batching_(*encoder_,
                  batching_for(encoder_->info(), options_.encoder.max_batch, options_.max_waiting)),
        cache_(static_cast<std::size_t>(options_.query_cache_mb) << 20),
        slots_(options_.compute_threads > 0 ? options_.compute_threads : available_cores()),
        merges_({static_cast<std::size_t>(options_.merge_size),
                 static_cast<std::size_t>(options_.max_unmerged),
                 std::chrono::seconds(options_.merge_age_sec)}) {
    if (options_.data_dir.empty()) return;
    storage_ = std::make_unique<Storage>(
        options_.data_dir,
        GenerationOptions{device_options(options_.index_device), options_.image_limits.max_bytes});
    for (const auto& [name, entry] : catalogs().entries()) {
      if (entry.catalog && entry.catalog->encoder_fingerprint() != encoder_->fingerprint()) {
        spdlog::warn(
            "catalog {} was indexed with another encoder: it cannot be searched until it "
            "is indexed anew",
            name);
      }
    }
    if (options_.merge_in_background) {
      scheduler_ = std::make_unique<MergeScheduler>([this] { start_due_merges(); });
    }
  }

  const encoder::Encoder& encoder() const { return *encoder_; }
  CatalogSet& catalogs() const { return storage().catalogs; }
  JobRunner& jobs() const { return storage().jobs; }

  std::shared_ptr<const Catalog> searchable(const std::string& name) const {
    std::shared_ptr<const Catalog> catalog = catalogs().find(name);
    catalog->require_encoder(encoder_->fingerprint());
    return catalog;
  }

  int encoder_threads() const { return options_.encoder.threads; }
  bool has_storage() const { return storage_ != nullptr; }
  EncoderUse encoder_use() const { return {batching_.stats(), cache_.stats()}; }
  ComputeSlots& slots() { return slots_; }

  EncodedTexts encode_texts(std::span<const std::string> texts) {
    EncodedTexts result{embeddings(texts.size()), std::vector<TextLength>(texts.size())};
    through_cache(
        QueryCache::Kind::kText, texts, result, [&](std::span<const std::size_t> missing) {
          std::vector<encoder::TokenizedText> tokenized;
          tokenized.reserve(missing.size());
          {
            const ComputeSlots::Slot slot(slots_);
            for (const std::size_t i : missing) {
              tokenized.push_back(encoder_->tokenize(texts[i]));
              result.lengths[i] = {tokenized.back().ids.size(), tokenized.back().truncated};
            }
          }
          return batching_.encode_texts(std::move(tokenized), BatchingEncoder::Traffic::kQuery);
        });
    return result;
  }

  Matrix encode_images(std::span<const std::string> image_bytes) {
    EncodedTexts result{embeddings(image_bytes.size()),
                        std::vector<TextLength>(image_bytes.size())};
    through_cache(
        QueryCache::Kind::kImage, image_bytes, result, [&](std::span<const std::size_t> missing) {
          std::vector<encoder::Image> prepared;
          prepared.reserve(missing.size());
          for (const std::size_t i : missing) {
            naming_input("image", i, image_bytes.size(), [&] {
              const ComputeSlots::Slot slot(slots_);
              prepared.push_back(encoder_->prepare(encoder::decode_image(
                  image_bytes[i], options_.image_limits, options_.encoder.image)));
            });
          }
          return batching_.encode_images(std::move(prepared), BatchingEncoder::Traffic::kQuery);
        });
    return std::move(result.embeddings);
  }

  /// The right to index a catalog, which one run at a time has.
  class Claim {
   public:
    Claim(Impl& impl, std::string name) : impl_(impl), name_(std::move(name)) {
      const std::lock_guard lock(impl_.mutex_);
      if (!impl_.indexing_.insert(name_).second) {
        throw failed_precondition(
            "catalog " + name_ +
            " is being indexed already, or its updates merged; wait for that, or cancel the job");
      }
    }
    ~Claim() {
      const std::lock_guard lock(impl_.mutex_);
      impl_.indexing_.erase(name_);
    }
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

   private:
    Impl& impl_;
    const std::string name_;
  };

  /// The caller holds the catalog's Claim.
  IndexReport index(const IndexRequest& given, const ProgressCallback& progress,
                    const std::atomic<bool>* cancel) {
    IndexRequest request = given;
    if (request.image_source.location.empty()) {
      request.image_source.location = std::filesystem::absolute(request.catalog_file).parent_path();
    }
    request.image_source.max_bytes = options_.image_limits.max_bytes;
    spdlog::info("indexing catalog {} from {}", request.name, request.catalog_file);
    const IndexingTools tools{
        *encoder_,
        batching_,
        storage().database,
        storage().generations,
        options_.image_limits,
        options_.encoder.image,
        options_.decode_threads > 0 ? options_.decode_threads : std::max(1, available_cores() / 2),
        static_cast<std::size_t>(std::max(1, options_.encoder.max_batch))};
    std::unique_ptr<CatalogSet::Draft> draft = catalogs().begin(request.name);
    const std::uint64_t covered = catalogs().sequence(request.name);
    IndexReport report = build_generation(tools, request, draft->generation(), draft->folder(),
                                          covered, progress, cancel);
    require_no_great_loss(request.name, report);
    catalogs().publish(*draft, options_.keep_generations);
    catalogs().forget_loss(request.name);
    draft.reset();  // sweeps generations, and with them what names updates and uploads
    catalogs().tidy(request.name);
    spdlog::info(
        "catalog {}: generation {} with {} products is current ({} images encoded, {} cached, "
        "{} products failed, {:.1f} s)",
        request.name, report.generation, report.indexed, report.encoded, report.cached,
        report.failed, report.seconds);
    return report;
  }

  /// Images that are out of reach look like products that cannot be indexed. Throws
  /// FailedPrecondition rather than put what is left of a catalog in its place.
  void require_no_great_loss(const std::string& name, const IndexReport& report) const {
    const auto entries = catalogs().entries();
    const auto served = entries.find(name);
    if (served == entries.end() || !served->second.catalog) return;
    const std::size_t before = served->second.catalog->size();
    if (2 * report.indexed >= before || report.indexed + report.failed < before) return;
    throw failed_precondition(fmt::format(
        "{} of {} products could not be indexed, and {} would take the place of {}: nothing was "
        "changed{}{}",
        report.failed, report.products, report.indexed, before,
        report.failures.empty() ? "" : "; the first: ",
        report.failures.empty() ? "" : report.failures.front().reason));
  }

  /// The right to measure, which one run at a time has: two would spoil each other's timings.
  class Measuring {
   public:
    explicit Measuring(Impl& impl) : impl_(impl) {
      if (impl_.measuring_.exchange(true)) {
        throw failed_precondition(
            "an experiment or a tuning is running already; wait for it, or cancel the job");
      }
    }
    ~Measuring() { impl_.measuring_ = false; }
    Measuring(const Measuring&) = delete;
    Measuring& operator=(const Measuring&) = delete;

   private:
    Impl& impl_;
  };

  /// The caller holds a Measuring, and has encoded the request's texts.
  ExperimentReport experiment(const ExperimentRequest& request, const ProgressCallback& progress,
                              const std::atomic<bool>* cancel) {
    const std::shared_ptr<const Catalog> snapshot = searchable(request.catalog);
    // Never published: it is swept with whatever is in it, also after a crash.
    const std::unique_ptr<CatalogSet::Draft> scratch = catalogs().begin(request.catalog);
    ExperimentReport report =
        run_experiment(*snapshot, request, scratch->folder(), encoder_threads(), progress, cancel);
    spdlog::info("catalog {}: measured {} ways to search in {:.1f} s", request.catalog,
                 report.measurements.size(), report.seconds);
    return report;
  }

  /// The same; to apply the choice, the caller holds the catalog's Claim as well.
  TuningReport tune(const TuningRequest& request, const ProgressCallback& progress,
                    const std::atomic<bool>* cancel) {
    const std::string& name = request.experiment.catalog;
    TuningReport report;
    {
      const std::shared_ptr<const Catalog> snapshot = searchable(name);
      const std::unique_ptr<CatalogSet::Draft> scratch = catalogs().begin(name);
      report =
          run_tuning(*snapshot, request, scratch->folder(), encoder_threads(), progress, cancel);
    }
    spdlog::info("catalog {}: {}", name, report.choice.reason);
    if (request.apply && report.choice.chosen) {
      report.generation = merge(name, progress, cancel, &report, std::nullopt).generation;
    }
    return report;
  }

  /// The caller holds the catalog's Claim. tuning: null, or what chose another index. priority: of
  /// the build; without one, that of the calling thread. What writers wait for is done on that.
  IndexReport merge(const std::string& name, const ProgressCallback& progress,
                    const std::atomic<bool>* cancel, const TuningReport* tuning,
                    std::optional<BackgroundPriority> priority) {
    std::shared_ptr<const Catalog> snapshot = catalogs().find(name);
    const std::uint64_t covered = snapshot->sequence();
    const IndexRequest request =
        tuning == nullptr ? snapshot->request() : tuned(snapshot->request(), *tuning);
    std::unique_ptr<CatalogSet::Draft> draft = catalogs().begin(name);
    IndexReport report;
    const auto build = [&] {
      report =
          build_merged_generation(storage().database, storage().generations, *snapshot, request,
                                  draft->generation(), draft->folder(), progress, cancel);
    };
    if (priority) {
      run_in_background(*priority, std::max(1, available_cores() / 2), build);
    } else {
      build();
    }
    snapshot.reset();  // lets its generation be swept
    catalogs().publish(*draft, options_.keep_generations);
    draft.reset();  // sweeps generations, and with them what names updates and uploads
    catalogs().tidy(name);
    spdlog::info(
        "catalog {}: generation {} has merged the updates up to {} ({} products, {:.1f} s)", name,
        report.generation, covered, report.indexed, report.seconds);
    return report;
  }

  std::string start_merge(const std::string& name) {
    const std::shared_ptr<const Catalog> snapshot = catalogs().find(name);
    const bool urgent = merges_.is_urgent(unmerged_rows(*snapshot), snapshot->size());
    auto claim = std::make_shared<const Claim>(*this, name);
    const auto priority = urgent ? BackgroundPriority::kLow : BackgroundPriority::kIdle;
    const std::string job =
        jobs().start(name, JobKind::kMerge,
                     [this, claim = std::move(claim), name, priority](
                         const ProgressCallback& progress, const std::atomic<bool>& cancel) {
                       return merge(name, progress, &cancel, nullptr, priority);
                     });
    const std::lock_guard lock(mutex_);
    if (urgent) {
      idle_merges_.erase(name);
    } else {
      idle_merges_[name] = job;
    }
    return job;
  }

  /// Begins the merges that are due. Called by the scheduler. What is served in place of a newer
  /// generation is not merged: that would make an older catalogue the current one unasked.
  void start_due_merges() {
    const auto now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                            std::chrono::system_clock::now().time_since_epoch())
                            .count();
    const auto begin = [&](const std::string& name, const Catalog& catalog) {
      try {
        take_step(name, merges_.next(name, merge_state(catalog), now_ms, Clock::now()));
      } catch (const std::exception& error) {
        spdlog::warn("cannot begin to merge the updates of catalog {}: {}", name, error.what());
      }
    };
    try {
      for (const auto& [name, entry] : catalogs().entries()) {
        if (entry.catalog && entry.problem.empty()) begin(name, *entry.catalog);
      }
    } catch (const std::exception& error) {
      spdlog::warn("cannot look for updates to merge: {}", error.what());
    }
  }

  std::vector<PreparedUpdate> prepare(const Catalog& catalog,
                                      std::span<const ProductUpdate> updates) {
    const UpdateTools tools{*encoder_,
                            batching_,
                            storage().database,
                            slots_,
                            options_.image_limits,
                            options_.encoder.image};
    return prepare_updates(tools, catalog, updates);
  }

  std::vector<UpdateResult> update(const std::string& name,
                                   std::span<const PreparedUpdate> updates) {
    return catalogs().update(name, encoder_->fingerprint(), updates,
                             static_cast<std::size_t>(options_.max_unmerged));
  }

 private:
  void take_step(const std::string& name, MergePolicy::Step step) {
    switch (step) {
      case MergePolicy::Step::kNone:
        return;
      case MergePolicy::Step::kMerge:
        start_merge(name);
        return;
      case MergePolicy::Step::kCancelIdleMerge:
        spdlog::info(
            "catalog {}: too many updates wait; the merge begins anew with more of the cores",
            name);
        cancel_idle_merge(name);
        return;
    }
  }

  static std::size_t unmerged_rows(const Catalog& catalog) {
    return catalog.delta().rows() + catalog.delta().tombstones();
  }

  MergePolicy::State merge_state(const Catalog& catalog) {
    MergePolicy::State state;
    state.generation = catalog.generation();
    state.products = catalog.size();
    state.unmerged = unmerged_rows(catalog);
    state.oldest_ms = catalog.delta().oldest_ms();
    state.is_merging_idly = running_idle_merge(catalog.name()).has_value();
    const std::lock_guard lock(mutex_);
    state.is_indexing = indexing_.contains(catalog.name());
    return state;
  }

  /// The job that merges a catalog's updates on cores that searches leave, if one does.
  std::optional<std::string> running_idle_merge(const std::string& name) {
    std::string job;
    {
      const std::lock_guard lock(mutex_);
      const auto found = idle_merges_.find(name);
      if (found == idle_merges_.end()) return std::nullopt;
      job = found->second;
    }
    try {
      if (jobs().status(job).state == JobState::kRunning) return job;
    } catch (const Error&) {
      // It ended so long ago that it is forgotten.
    }
    return std::nullopt;
  }

  void cancel_idle_merge(const std::string& name) {
    const std::optional<std::string> job = running_idle_merge(name);
    if (job) jobs().cancel(*job);
    const std::lock_guard lock(mutex_);
    idle_merges_.erase(name);
  }

  Matrix embeddings(std::size_t rows) const {
    return {rows, static_cast<std::size_t>(encoder_->dimension())};
  }

  /// Fills the rows that the cache has, and those that it lacks from what encode(their numbers)
  /// returns, which the cache then keeps.
  template <typename Encode>
  void through_cache(QueryCache::Kind kind, std::span<const std::string> inputs,
                     EncodedTexts& result, const Encode& encode) {
    std::vector<std::size_t> missing;
    std::vector<Sha256Digest> keys;  // of what is missing
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (cache_.enabled()) {
        const Sha256Digest key = QueryCache::key(kind, inputs[i]);
        if (const auto entry = cache_.find(key)) {
          std::ranges::copy(entry->embedding, result.embeddings.row(i).begin());
          result.lengths[i] = entry->length;
          continue;
        }
        keys.push_back(key);
      }
      missing.push_back(i);
    }
    if (missing.empty()) return;
    const Matrix encoded = encode(std::span<const std::size_t>(missing));
    for (std::size_t i = 0; i < missing.size(); ++i) {
      const std::span<const float> row = encoded.row(i);
      std::ranges::copy(row, result.embeddings.row(missing[i]).begin());
      if (cache_.enabled()) {
        cache_.insert(keys[i], {{row.begin(), row.end()}, result.lengths[missing[i]]});
      }
    }
  }

  /// What lives in the data folder, in the order in which it is opened.
  struct Storage {
    Storage(const std::filesystem::path& data_dir, const GenerationOptions& options)
        : lock(locked(created(data_dir) / "LOCK")),
          database(data_dir / "meta"),
          generations(data_dir),
          catalogs(database, generations, options),
          jobs(database) {}

    static const std::filesystem::path& created(const std::filesystem::path& data_dir) {
      std::error_code error;
      std::filesystem::create_directories(data_dir, error);
      if (error) {
        throw permission_denied(fmt::format("cannot create the data folder {}: {}",
                                            data_dir.string(), error.message()));
      }
      return data_dir;
    }

    static FileLock locked(const std::filesystem::path& file) {
      try {
        return FileLock(file);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kUnavailable) throw;
        throw unavailable(std::string(error.what()) +
                          "; a server that runs on it takes searches, updates and reindexes over "
                          "HTTP");
      }
    }

    FileLock lock;
    storage::Database database;
    storage::GenerationStore generations;
    CatalogSet catalogs;
    JobRunner jobs;  // last: its threads use all of the above
  };

  static const EngineOptions& validated(const EngineOptions& options) {
    options.validate();
    return options;
  }

  /// Looks for the device, and says in the log what was found.
  static index::DeviceOptions device_options(index::DevicePreference preference) {
    const index::FoundDevice found = index::find_search_device(preference);
    if (found.device != nullptr) {
      spdlog::info("flat and ivf indices are searched on {}", found.device->description());
    } else if (preference == index::DevicePreference::kCuda) {
      spdlog::warn("index.device is \"cuda\", but {}; indices are searched on the CPU",
                   found.why_none);
    } else if (found.built_in) {
      spdlog::info("{}; indices are searched on the CPU", found.why_none);
    }
    return {found.device, [](const std::string& message) { spdlog::warn("{}", message); }};
  }

  Storage& storage() const {
    if (!storage_) {
      throw failed_precondition("this engine was opened without a data folder; it has no catalogs");
    }
    return *storage_;
  }

  // Constant after construction.
  const EngineOptions options_;
  const std::unique_ptr<const encoder::Encoder> encoder_;

  // Thread-safe.
  BatchingEncoder batching_;
  QueryCache cache_;
  ComputeSlots slots_;

  std::atomic<bool> measuring_{false};

  std::mutex mutex_;
  std::set<std::string> indexing_;                  // guarded by mutex_
  std::map<std::string, std::string> idle_merges_;  // guarded by mutex_; the last job by catalog

  MergePolicy merges_;  // of the scheduler's thread, but for is_urgent()

  // Last: its jobs use all of the above until they are joined.
  std::unique_ptr<Storage> storage_;
  std::unique_ptr<MergeScheduler> scheduler_;  // stops before the jobs that it begins
};

Engine::Engine(const EngineOptions& options)
    : Engine((options.validate(), options), encoder::load_encoder(options.encoder)) {}

Engine::Engine(const EngineOptions& options, std::unique_ptr<const encoder::Encoder> encoder)
    : impl_(std::make_unique<Impl>(options, std::move(encoder))) {}

Engine::~Engine() = default;

const encoder::Encoder& Engine::encoder() const { return impl_->encoder(); }
EncoderUse Engine::encoder_use() const { return impl_->encoder_use(); }

bool Engine::is_ready() const {
  if (!impl_->has_storage()) return true;
  const auto entries = impl_->catalogs().entries();
  return entries.empty() || std::ranges::any_of(entries, [&](const auto& each) {
           const std::shared_ptr<const Catalog>& catalog = each.second.catalog;
           return catalog && catalog->encoder_fingerprint() == encoder().fingerprint();
         });
}

std::vector<CatalogSummary> Engine::catalogs() const {
  std::vector<CatalogSummary> summaries;
  if (!impl_->has_storage()) return summaries;
  for (const auto& [name, entry] : impl_->catalogs().entries()) {
    summaries.push_back(summary_of(name, entry, encoder().fingerprint()));
  }
  return summaries;
}

std::shared_ptr<const Catalog> Engine::catalog(std::string_view name) const {
  return impl_->catalogs().find(name);
}

Matrix Engine::encode_images(std::span<const std::string> image_bytes, bool normalise) const {
  Matrix embeddings = impl_->encode_images(image_bytes);
  if (normalise) normalise_rows(embeddings);
  return embeddings;
}

EncodedTexts Engine::encode_texts(std::span<const std::string> texts, bool normalise) const {
  for (std::size_t i = 0; i < texts.size(); ++i) {
    naming_input("text", i, texts.size(), [&] { check_text(texts[i]); });
  }
  EncodedTexts encoded = impl_->encode_texts(texts);
  if (normalise) normalise_rows(encoded.embeddings);
  return encoded;
}

SearchResponse Engine::search(const SearchRequest& request) const {
  request.validate();
  const std::shared_ptr<const Catalog> catalog = impl_->searchable(request.catalog);
  return search_catalog(*this, *catalog, impl_->slots(), request);
}

std::vector<SearchOutcome> Engine::search_batch(const std::string& catalog,
                                                std::span<const SearchRequest> requests) const {
  if (requests.size() > kMaxBatchSearches) {
    throw invalid_argument(fmt::format("the batch has {} searches; at most {} are answered",
                                       requests.size(), kMaxBatchSearches));
  }
  for (const SearchRequest& request : requests) {
    if (request.catalog == catalog) continue;
    throw invalid_argument("the searches of a batch must all name its catalog");
  }
  const std::shared_ptr<const Catalog> snapshot = impl_->searchable(catalog);
  return engine::search_batch(*this, *snapshot, impl_->slots(), requests);
}

Classification Engine::classify(const ClassifyRequest& request) const {
  const auto start = Clock::now();
  const bool by_product = request.catalog.has_value() && request.product_id.has_value();
  const bool half_a_product = request.catalog.has_value() != request.product_id.has_value();
  if (half_a_product || by_product == request.image_bytes.has_value()) {
    throw invalid_argument(
        "a classification needs either an image, or a catalog together with a product id");
  }
  validate_labels(request.labels);
  const PromptTemplate prompt(request.prompt_template);
  std::vector<std::string> prompts;
  prompts.reserve(request.labels.size());
  for (const std::string& label : request.labels) prompts.push_back(prompt.apply(label));

  Matrix image;
  if (by_product) {
    const std::shared_ptr<const Catalog> catalog = impl_->searchable(*request.catalog);
    const std::vector<float> embedding =
        catalog->vector(Target::kImage, catalog->require_row(*request.product_id));
    image = Matrix(1, embedding.size());
    std::ranges::copy(embedding, image.row(0).begin());
  } else {
    image = encode_images({&*request.image_bytes, 1});
  }
  const EncodedTexts labels = encode_texts(prompts);
  Classification result;
  result.timings.encode_ms = milliseconds_since(start);

  const auto comparison_start = Clock::now();
  const std::optional<float> bias = encoder().logit_bias();
  std::vector<float> similarities(prompts.size());
  std::vector<float> logits(prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    similarities[i] = std::clamp(dot(image.row(0), labels.embeddings.row(i)), -1.0F, 1.0F);
    logits[i] = encoder().logit_scale() * similarities[i] + bias.value_or(0.0F);
  }
  const std::vector<float> probabilities = bias ? sigmoid(logits) : softmax(logits);
  std::vector<std::size_t> order(prompts.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order,
                           [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
  for (const std::size_t i : order) {
    result.labels.push_back(
        {request.labels[i], probabilities[i], similarities[i], labels.lengths[i]});
  }
  result.timings.search_ms = milliseconds_since(comparison_start);
  result.timings.total_ms = milliseconds_since(start);
  return result;
}

IndexReport Engine::index_catalog(const IndexRequest& request, const ProgressCallback& progress,
                                  const std::atomic<bool>* cancel) {
  validate(request);
  const Impl::Claim claim(*impl_, request.name);
  return impl_->index(request, progress, cancel);
}

IndexRequest Engine::last_request(const std::string& name) const {
  return impl_->catalogs().last_request(name);
}

std::vector<GenerationSummary> Engine::generations(const std::string& catalog) const {
  return impl_->catalogs().generations(catalog);
}

CatalogSummary Engine::roll_back(const std::string& catalog,
                                 std::optional<std::uint64_t> generation) {
  const Impl::Claim claim(*impl_, catalog);
  const std::string& fingerprint = encoder().fingerprint();
  CatalogSet::Entry now;
  now.catalog = impl_->catalogs().roll_back(catalog, generation, fingerprint);
  return summary_of(catalog, now, fingerprint);
}

std::string Engine::start_reindex(const std::string& name,
                                  const std::optional<IndexRequest>& request) {
  IndexRequest complete = request ? *request : last_request(name);
  complete.name = name;
  validate(complete);
  JobRunner& jobs = impl_->jobs();
  auto claim = std::make_shared<const Impl::Claim>(*impl_, name);
  return jobs.start(name, JobKind::kReindex,
                    [impl = impl_.get(), claim = std::move(claim), complete](
                        const ProgressCallback& progress, const std::atomic<bool>& cancel) {
                      IndexReport report;
                      run_in_background(BackgroundPriority::kLow, impl->encoder_threads(),
                                        [&] { report = impl->index(complete, progress, &cancel); });
                      return report;
                    });
}

namespace {

/// The request with its texts encoded.
ExperimentRequest encoded(const Engine& engine, ExperimentRequest request) {
  request.validate();
  if (request.source == QuerySource::kTexts) {
    request.vectors = engine.encode_texts(request.texts).embeddings;
  }
  return request;
}

}  // namespace

ExperimentReport Engine::experiment(const ExperimentRequest& request,
                                    const ProgressCallback& progress,
                                    const std::atomic<bool>* cancel) {
  const Impl::Measuring measuring(*impl_);
  return impl_->experiment(encoded(*this, request), progress, cancel);
}

std::string Engine::start_experiment(const ExperimentRequest& request) {
  // Too large a grid is refused before there is a job.
  expand(request.grid, impl_->searchable(request.catalog)->size());
  auto measuring = std::make_shared<const Impl::Measuring>(*impl_);
  return impl_->jobs().start(
      request.catalog, JobKind::kExperiment,
      [impl = impl_.get(), measuring = std::move(measuring), prepared = encoded(*this, request)](
          const ProgressCallback& progress, const std::atomic<bool>& cancel) {
        return impl->experiment(prepared, progress, &cancel);
      });
}

TuningReport Engine::tune(const TuningRequest& given, const ProgressCallback& progress,
                          const std::atomic<bool>* cancel) {
  given.validate();
  TuningRequest request = given;
  request.validate_for(impl_->searchable(request.experiment.catalog)->size());
  std::optional<Impl::Claim> claim;
  if (request.apply) claim.emplace(*impl_, request.experiment.catalog);
  const Impl::Measuring measuring(*impl_);
  request.experiment = encoded(*this, std::move(request.experiment));
  return impl_->tune(request, progress, cancel);
}

std::string Engine::start_tuning(const TuningRequest& given) {
  given.validate();
  TuningRequest request = given;
  const std::string catalog = request.experiment.catalog;
  const std::size_t products = impl_->searchable(catalog)->size();
  expand(request.experiment.grid, products);
  request.validate_for(products);
  std::shared_ptr<const Impl::Claim> claim;
  if (request.apply) claim = std::make_shared<const Impl::Claim>(*impl_, catalog);
  auto measuring = std::make_shared<const Impl::Measuring>(*impl_);
  request.experiment = encoded(*this, std::move(request.experiment));
  return impl_->jobs().start(
      catalog, JobKind::kTune,
      [impl = impl_.get(), claim = std::move(claim), measuring = std::move(measuring), request](
          const ProgressCallback& progress, const std::atomic<bool>& cancel) {
        set_compute_threads_of_this_thread(impl->encoder_threads());
        return impl->tune(request, progress, &cancel);
      });
}

std::vector<UpdateResult> Engine::upsert_products(const std::string& catalog,
                                                  std::span<const ProductUpdate> updates) {
  const std::shared_ptr<const Catalog> snapshot = impl_->searchable(catalog);
  return impl_->update(catalog, impl_->prepare(*snapshot, updates));
}

std::vector<UpdateResult> Engine::delete_products(const std::string& catalog,
                                                  std::span<const std::string> ids) {
  impl_->searchable(catalog);
  if (ids.empty() || ids.size() > kMaxUpdates) {
    throw invalid_argument(fmt::format("{} products are to be deleted; 1 to {} can be at a time",
                                       ids.size(), kMaxUpdates));
  }
  std::vector<PreparedUpdate> updates(ids.size());
  std::set<std::string_view> distinct;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (!distinct.insert(ids[i]).second) {
      throw invalid_argument(
          fmt::format("product \"{}\" is deleted twice at a time", printable(ids[i])));
    }
    updates[i].id = ids[i];
    updates[i].deleted = true;
  }
  return impl_->update(catalog, updates);
}

ExportReport Engine::export_catalog(const ExportRequest& request, const ExportProgress& progress,
                                    const std::atomic<bool>* cancel) const {
  const std::shared_ptr<const Catalog> snapshot = catalog(request.catalog);
  return export_snapshot(*snapshot, request, progress, cancel);
}

std::string Engine::start_merge(const std::string& catalog) { return impl_->start_merge(catalog); }

JobStatus Engine::job(std::string_view id) const { return impl_->jobs().status(id); }

std::vector<JobStatus> Engine::jobs() const {
  return impl_->has_storage() ? impl_->jobs().all() : std::vector<JobStatus>();
}

void Engine::cancel_job(std::string_view id) { impl_->jobs().cancel(id); }

}  // namespace vitrine::engine
