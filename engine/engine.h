#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/matrix.h"
#include "encoder/encoder.h"
#include "encoder/image_decoder.h"
#include "engine/allowed_rows.h"
#include "engine/batching_encoder.h"
#include "engine/catalog.h"
#include "engine/experiment.h"
#include "engine/exporting.h"
#include "engine/generations.h"
#include "engine/indexing.h"
#include "engine/jobs.h"
#include "engine/query_cache.h"
#include "engine/search.h"
#include "engine/text_length.h"
#include "engine/tuning.h"
#include "engine/updates.h"
#include "engine/zero_shot.h"
#include "index/search_device.h"

namespace vitrine::engine {

struct EngineOptions {
  /// Folder of the database and the generations, created if missing; one process at a time. Empty:
  /// an engine without catalogs, which encodes and classifies only.
  std::filesystem::path data_dir;
  encoder::EncoderOptions encoder;
  /// Bounds on every image that is decoded, a catalog's or a caller's.
  encoder::ImageLimits image_limits;
  /// Where flat and ivf indices of catalogs are searched. Answers are the same everywhere. A device
  /// holds the vectors of every generation that is open: two of a catalog while it is reindexed.
  index::DevicePreference index_device = index::DevicePreference::kAuto;
  /// Generations that stay on disk, the current one included. Valid: [1, 100].
  int keep_generations = 2;
  /// Threads that read, decode and resize images while a catalog is indexed, beside the encoder's.
  /// 0: one for every two cores. Valid: [0, 1024].
  int decode_threads = 0;
  /// Queries that are tokenized, decoded, resized or searched at the same time; further callers
  /// wait for their turn. Those that wait for the encoder do not count. 0: one for each core.
  /// Valid: [0, 1024].
  int compute_threads = 0;
  /// Texts and images of queries that may wait for the encoder; beyond it they are refused with
  /// Unavailable. Valid: [1, 1000000].
  int max_waiting = 1024;
  /// Memory for the embeddings of the queries that were used last, in MiB. 0: none is kept. Valid:
  /// [0, 65536].
  int query_cache_mb = 64;
  /// A merge begins once a catalog's delta and tombstones have this many rows, or a quarter as many
  /// as there are products (1,000 at least) where that is fewer. Each row of the delta is compared
  /// with every query: more of them make searches slower, fewer make merges, which build the whole
  /// index, more frequent. 0: no merge by size. Valid: [0, max_unmerged].
  int merge_size = 10'000;
  /// A merge begins once the oldest update is this old, in seconds. 0: no merge by age. Valid:
  /// [0, 31536000].
  int merge_age_sec = 3600;
  /// Updates are refused with Unavailable while the delta and tombstones have this many rows, which
  /// bounds memory when merges fail. Valid: [1, 10000000].
  int max_unmerged = 200'000;
  /// Whether merges begin by themselves. False: by start_merge() only.
  bool merge_in_background = false;

  /// Throws InvalidArgument that names the field.
  void validate() const;
};

/// Longest text that is encoded, in bytes.
inline constexpr std::size_t kMaxTextBytes = std::size_t{8} * 1024;

/// The embeddings of texts.
struct EncodedTexts {
  Matrix embeddings;                ///< [n, encoder().dimension()], row i of text i
  std::vector<TextLength> lengths;  ///< [n]
};

/// Either image_bytes, or catalog and product_id.
struct ClassifyRequest {
  std::optional<std::string> image_bytes;
  std::optional<std::string> catalog;
  std::optional<std::string> product_id;
  std::vector<std::string> labels;  ///< 1 to kMaxLabels, distinct, not empty
  std::string prompt_template = std::string(kDefaultPromptTemplate);
};

struct Classification {
  std::vector<LabelScore> labels;  ///< most probable first; ties in the request's order
  SearchTimings timings;           ///< search_ms is the comparison with the labels
};

struct CatalogSummary {
  std::string name;
  std::uint64_t generation = 0;
  std::size_t products = 0;
  std::uint64_t sequence = 0;  ///< of the last update; 0 when there was none
  std::size_t delta_rows = 0;  ///< added or replaced since the generation was built
  std::size_t tombstones = 0;  ///< products of the generation that are deleted or replaced
  std::string index_kind;
  /// Where its indices are searched: "cpu", a device's name ("cuda"), or "mixed" when the device
  /// had room for one of the two only.
  std::string index_device;
  /// Of an embedding in the generation, images' and captions' on average: bytes of the mapped index
  /// file, and of the heap besides.
  double mapped_bytes_per_vector = 0;
  double heap_bytes_per_vector = 0;
  std::string content_hash;  ///< of the generation
  std::string created_at;
  std::string image_source_type;
  std::string image_source_location;
  std::string encoder_fingerprint;
  bool searchable = false;  ///< false: `problem` says why
  /// Also set, with searchable, when an older generation is served or updates may be missing.
  std::string problem;
};

/// How the encoder is used. Counts are since the engine was opened.
struct EncoderUse {
  BatchingStats batching;
  QueryCacheStats cache;
};

/// What the product does, for whoever asks: http/, cli/, tests. Thread-safe; any calls may overlap.
/// Queries that come together are encoded together, before those of indexing (batching_encoder.h);
/// reading a catalog waits neither for indexing nor for updates.
///
/// Errors common to the methods that take a catalog's name: NotFound (no such catalog), Corruption
/// (none of its generations is intact), FailedPrecondition (its embeddings come from another
/// encoder, or the engine has no data_dir).
class Engine {
 public:
  /// Locks data_dir, sweeps what a crash left behind and opens every catalog. A catalog that cannot
  /// be served is logged and reported by catalogs(); it does not keep the others from being served.
  /// Throws Unavailable when another process holds data_dir, and what load_encoder() throws.
  explicit Engine(const EngineOptions& options);
  /// The same with an encoder that is loaded already; options.encoder is not looked at.
  Engine(const EngineOptions& options, std::unique_ptr<const encoder::Encoder> encoder);
  /// Cancels the running jobs and waits for them.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const encoder::Encoder& encoder() const;
  EncoderUse encoder_use() const;

  /// Sorted by name.
  std::vector<CatalogSummary> catalogs() const;
  /// False while there are catalogs none of which can be searched.
  bool is_ready() const;
  /// The current generation. Does not ask for a matching encoder: products and images can be read
  /// without one.
  std::shared_ptr<const Catalog> catalog(std::string_view name) const;

  /// One row an input, [n, encoder().dimension()]; unit length when normalised.
  /// Throws InvalidArgument or ResourceExhausted naming the input when an image is not one, and
  /// Unavailable when too many queries wait, as every method does that encodes.
  Matrix encode_images(std::span<const std::string> image_bytes, bool normalise = true) const;
  /// Throws InvalidArgument naming the input when a text is not UTF-8 or exceeds kMaxTextBytes.
  EncodedTexts encode_texts(std::span<const std::string> texts, bool normalise = true) const;

  SearchResponse search(const SearchRequest& request) const;
  /// Answers each of at most kMaxBatchSearches searches as search() does, in their order, from one
  /// snapshot of the catalog that they all name. Their texts are encoded together, and those that
  /// agree in all but the query search the index together; their timings are of the whole step that
  /// they shared. A search that is at fault has an Error of kind InvalidArgument, NotFound or
  /// ResourceExhausted in its place; whatever else fails, fails all.
  std::vector<SearchOutcome> search_batch(const std::string& catalog,
                                          std::span<const SearchRequest> requests) const;
  Classification classify(const ClassifyRequest& request) const;

  /// Adds or changes products, all or none (updates.h). When it returns they survive a power cut,
  /// and every search that begins from then on sees them. One result a product, in their order.
  /// Calls that overlap share the write. 1 to kMaxUpdates products, no id twice.
  /// Throws InvalidArgument naming the product, what the image source throws for an image named,
  /// Unavailable while max_unmerged are not merged.
  std::vector<UpdateResult> upsert_products(const std::string& catalog,
                                            std::span<const ProductUpdate> updates);
  /// The same for deletions. Throws NotFound when one of them is not there.
  std::vector<UpdateResult> delete_products(const std::string& catalog,
                                            std::span<const std::string> ids);

  /// Writes a snapshot of the catalog to files; see export_snapshot(). Throws what that throws.
  ExportReport export_catalog(const ExportRequest& request, const ExportProgress& progress = {},
                              const std::atomic<bool>* cancel = nullptr) const;

  /// Makes a new generation of the current one and the updates on top, in the background; returns
  /// the job's id. Nothing is encoded. Throws FailedPrecondition when the catalog is being indexed
  /// or merged.
  std::string start_merge(const std::string& catalog);

  /// Builds a new generation from the catalog file and makes it current, on the calling thread. The
  /// file replaces all updates that came before the call; those that come during it stay on top.
  /// Embeddings that the cache
  /// has are not computed again, and those computed by a run that is killed are kept.
  /// progress may be empty. cancel, when given, is looked at about every batch.
  /// Throws InvalidArgument (bad request or file, nothing to index, or any failure when strict),
  /// FailedPrecondition (the catalog is being indexed already, or would lose more than half of its
  /// products because they cannot be indexed), Cancelled. After any of them the current generation
  /// is what it was.
  IndexReport index_catalog(const IndexRequest& request, const ProgressCallback& progress = {},
                            const std::atomic<bool>* cancel = nullptr);

  /// What the catalog was indexed from last, also when no generation of it can be served. Throws
  /// NotFound, or FailedPrecondition when no generation is left that says so.
  IndexRequest last_request(const std::string& name) const;

  /// index_catalog() on a background thread; returns the job's id. Without a request the last one
  /// is repeated. Throws FailedPrecondition when the catalog is being indexed.
  std::string start_reindex(const std::string& name,
                            const std::optional<IndexRequest>& request = std::nullopt);

  /// What is kept of a catalog: first the generation that is to be served, then those that can take
  /// its place. Throws NotFound.
  std::vector<GenerationSummary> generations(const std::string& catalog) const;
  /// Makes a kept generation the current one: the newest sound one before the current, or that of
  /// the given number. It undoes a reindex: every update that the generation does not cover is on
  /// top, those too that the reindex replaced. What was current is kept until the next generation
  /// is made. Throws FailedPrecondition when there is no such generation, it is served already, or
  /// the catalog is being indexed or merged, and Corruption when it is damaged; nothing has changed
  /// then.
  CatalogSummary roll_back(const std::string& catalog,
                           std::optional<std::uint64_t> generation = std::nullopt);

  /// Measures kinds of index and their parameters over a catalog, on the calling thread
  /// (experiment.h). Nothing of the catalog changes. Throws FailedPrecondition while another
  /// experiment or tuning runs, whose timings it would spoil, and Cancelled.
  ExperimentReport experiment(const ExperimentRequest& request,
                              const ProgressCallback& progress = {},
                              const std::atomic<bool>* cancel = nullptr);
  /// The same on a background thread; returns the job's id.
  std::string start_experiment(const ExperimentRequest& request);

  /// Chooses an index for a catalog by an experiment and, when request.apply is set and something
  /// meets the goal, makes a generation with it of the current one and the updates on top; nothing
  /// is encoded. Throws as experiment() does, and FailedPrecondition when the catalog is to change
  /// and is being indexed or merged.
  TuningReport tune(const TuningRequest& request, const ProgressCallback& progress = {},
                    const std::atomic<bool>* cancel = nullptr);
  /// The same on a background thread; returns the job's id.
  std::string start_tuning(const TuningRequest& request);

  /// Throws NotFound.
  JobStatus job(std::string_view id) const;
  /// Newest first.
  std::vector<JobStatus> jobs() const;
  /// Asks a running job to stop; one that has ended stays as it is. Throws NotFound.
  void cancel_job(std::string_view id);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace vitrine::engine
