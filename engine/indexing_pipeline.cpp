#include "engine/indexing_pipeline.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/compute_threads.h"
#include "base/error.h"
#include "base/matrix.h"
#include "base/sha256.h"
#include "base/text.h"
#include "engine/bounded_queue.h"
#include "engine/filter/generation_attributes.h"
#include "engine/imported_vectors.h"
#include "engine/progress_meter.h"
#include "engine/report_json.h"
#include "engine/timestamp.h"
#include "engine/vectors.h"
#include "index/vector_index.h"
#include "storage/catalog_reader.h"
#include "storage/product_ids.h"

namespace vitrine::engine {
namespace {

using storage::EmbeddingKind;
using storage::Product;

/// Products that wait for a decode thread.
constexpr std::size_t kQueuedProducts = 256;
/// Captions are looked up and encoded, and products stored, when this many batches are together.
constexpr std::size_t kCaptionBatches = 4;

/// A product on its way through the pipeline.
struct Item {
  std::uint64_t record = 0;     // 1-based, in the catalog file
  std::size_t slot = 0;         // row of the matrices, before failed products are taken out
  std::size_t vectors_row = 0;  // of the files of vectors, when there are any
  Product product;
  Sha256Digest image_digest{};                  // of the image's bytes
  Sha256Digest content_digest{};                // of all that the catalog's content hash covers
  std::optional<std::vector<float>> embedding;  // of the image, when the cache has it
  encoder::Image image;                         // prepared for the encoder, when it has not
  std::string failure;                          // why the product cannot be indexed; empty: it can
};

/// Images that were handed to the encoder, in distinct ones.
struct EncodingBatch {
  std::vector<Item> items;
  std::vector<std::size_t> places;  // of each item's image among the distinct ones
  std::vector<Sha256Digest> digests;
  std::vector<std::optional<std::vector<float>>> embeddings;  // those that the cache has
  std::vector<std::size_t> missing;                           // places of the others
  std::future<Matrix> encoded;                                // of the others, in their order
};

/// image: what stands for the product's image.
Sha256Digest content_digest(const Product& product, std::string_view image) {
  Sha256 hash;
  const auto add = [&hash](std::string_view field) {
    hash.update(fmt::format("{}:", field.size()));  // so that no two lists of fields look alike
    hash.update(field);
  };
  add(product.id);
  add(image);
  add(product.caption);
  add(product.attributes.dump());
  return hash.finish();
}

class Run {
 public:
  Run(const IndexingTools& tools, const IndexRequest& request, std::uint64_t generation,
      const std::filesystem::path& folder, std::uint64_t covered_sequence,
      const ProgressCallback& progress, const std::atomic<bool>* cancel)
      : tools_(tools),
        request_(request),
        generation_(generation),
        folder_(folder),
        covered_sequence_(covered_sequence),
        cancel_(cancel),
        fingerprint_(tools.encoder.fingerprint()),
        dimension_(static_cast<std::size_t>(tools.encoder.dimension())),
        meter_(progress),
        products_(kQueuedProducts),
        ready_(2 * tools.batch_size) {}

  IndexReport run() {
    const auto start = std::chrono::steady_clock::now();
    const std::unique_ptr<const storage::ImageSource> source =
        storage::open_image_source(request_.image_source);
    if (request_.vectors) vectors_.emplace(*request_.vectors, dimension_);
    count_products();
    encode_products(*source);
    drop_failed_rows();
    build_indices();
    write_manifest(*source);
    report_.generation = generation_;
    for (auto& [record, failure] : failures_) report_.failures.push_back(std::move(failure));
    report_.seconds = milliseconds_since(start) / 1000;
    return std::move(report_);
  }

 private:
  void check_cancelled() const {
    if (cancel_ != nullptr && cancel_->load(std::memory_order_relaxed)) {
      throw cancelled("indexing catalog " + request_.name + " was cancelled");
    }
  }

  void fail(std::uint64_t record, const std::string& id, const std::string& reason) {
    if (request_.strict) {
      throw invalid_argument(fmt::format("record {} (id \"{}\") cannot be indexed: {}", record,
                                         printable(id), printable(reason, 1000)));
    }
    ++report_.failed;
    failures_[record] = {id, record, printable(reason, 1000)};
    if (failures_.size() > IndexReport::kMaxListedFailures) failures_.erase(--failures_.end());
  }

  /// The first pass over the file: how many products there are, and which records are none. It
  /// makes the matrices' size and the time left known before anything expensive begins.
  void count_products() {
    meter_.begin_stage(IndexStage::kReading, std::nullopt);
    const auto count = [this] {
      check_cancelled();
      meter_.update(++report_.products, report_.failed);
    };
    storage::read_catalog(
        request_.catalog_file, [&](Product&&) { count(); },
        [&](storage::BadRecord&& bad) {
          fail(bad.record, bad.id, bad.reason);
          count();
        },
        required_fields());
    meter_.end_stage();
    if (vectors_) vectors_->check_records(report_.products, request_.catalog_file);
    slots_ = report_.products - report_.failed;
    if (slots_ == 0) throw nothing_to_index();
  }

  /// Of a record.
  storage::RequiredFields required_fields() const {
    return request_.vectors ? storage::RequiredFields::kIdAndCaption
                            : storage::RequiredFields::kAll;
  }

  bool imports(Target target) const { return vectors_ && vectors_->has(target); }

  Error nothing_to_index() const {
    const FailedProduct& first = failures_.begin()->second;
    return invalid_argument(fmt::format(
        "none of the {} records of {} can be indexed; record {} (id \"{}\"): {}", report_.products,
        request_.catalog_file, first.record, printable(first.id), first.reason));
  }

  // Encoding: three kinds of threads.

  void encode_products(const storage::ImageSource& source) {
    meter_.begin_stage(IndexStage::kEncoding, slots_);
    if (!imports(Target::kImage)) images_ = Matrix(slots_, dimension_);
    if (!imports(Target::kCaption)) captions_ = Matrix(slots_, dimension_);
    vectors_rows_.resize(vectors_ ? slots_ : 0);
    ids_.resize(slots_);
    content_digests_.resize(slots_);
    indexed_.assign(slots_, false);
    {
      decoders_left_ = tools_.decode_threads;
      std::vector<std::thread> threads;
      const JoinOnExit join{*this, threads};
      threads.emplace_back([this] { guard([this] { read_products(); }); });
      for (int i = 0; i < tools_.decode_threads; ++i) {
        threads.emplace_back([this, &source] { guard([&] { decode_products(source); }); });
      }
      try {
        while (std::optional<Item> item = ready_.pop()) {
          check_cancelled();
          take(std::move(*item));
        }
      } catch (const Error& error) {
        if (error.code() == ErrorCode::kCancelled && encoding_) keep_images(*encoding_);
        throw;
      }
    }
    if (thread_error_) std::rethrow_exception(thread_error_);
    encode_images();
    finish_images(std::exchange(encoding_, std::nullopt));
    finish_products();
    meter_.end_stage();
  }

  /// Ends the threads, however the calling thread leaves.
  struct JoinOnExit {
    Run& run;
    std::vector<std::thread>& threads;
    ~JoinOnExit() {
      run.products_.abort();
      run.ready_.abort();
      for (std::thread& thread : threads) thread.join();
    }
  };

  /// Runs a thread's work; what escapes it ends the run and is thrown by the calling thread.
  template <typename Work>
  void guard(const Work& work) {
    try {
      work();
    } catch (...) {
      const std::lock_guard lock(error_mutex_);
      if (!thread_error_) thread_error_ = std::current_exception();
      products_.abort();
      ready_.abort();
    }
  }

  /// On the reader thread.
  void read_products() {
    struct Aborted {};
    std::uint64_t record = 0;
    std::size_t slot = 0;
    try {
      storage::read_catalog(
          request_.catalog_file,
          [&](Product&& product) {
            ++record;
            if (slot == slots_) throw changed_file();
            Item item;
            item.record = record;
            item.slot = slot++;
            item.product = std::move(product);
            if (!products_.push(std::move(item))) throw Aborted();
          },
          [&](storage::BadRecord&&) { ++record; }, required_fields());
    } catch (const Aborted&) {
      return;
    }
    if (slot != slots_) throw changed_file();
    products_.close();
  }

  Error changed_file() const {
    return failed_precondition(request_.catalog_file +
                               " changed while it was read; index it again");
  }

  /// On a decode thread.
  void decode_products(const storage::ImageSource& source) {
    set_compute_threads_of_this_thread(1);
    while (std::optional<Item> item = products_.pop()) {
      if (vectors_) {
        find_vectors(*item);
      } else {
        decode(source, *item);
      }
      if (!ready_.push(std::move(*item))) return;
    }
    if (decoders_left_.fetch_sub(1) == 1) ready_.close();
  }

  /// Finds out whether the files have vectors of the product, and hashes them; they are read again
  /// when the indices are built, so that no more than one matrix is held.
  void find_vectors(Item& item) const {
    const std::optional<std::size_t> row = vectors_->row_of(item.record, item.product.id);
    if (!row) {
      item.failure = "the list of ids has no vectors of it";
      return;
    }
    item.vectors_row = *row;
    Sha256 hash;
    std::vector<float> vector(dimension_);
    for (const Target target : {Target::kImage, Target::kCaption}) {
      if (!vectors_->has(target)) continue;
      item.failure = vectors_->read(target, *row, vector);
      if (!item.failure.empty()) return;
      hash.update({reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float)});
    }
    const Sha256Digest digest = hash.finish();
    item.content_digest =
        content_digest(item.product, fmt::format("{} {}", to_hex(digest), item.product.image));
  }

  void decode(const storage::ImageSource& source, Item& item) {
    try {
      const std::string bytes = source.read(item.product.image);
      item.image_digest = sha256(bytes);
      item.content_digest = content_digest(
          item.product,
          {reinterpret_cast<const char*>(item.image_digest.data()), item.image_digest.size()});
      item.embedding = std::move(
          cached(EmbeddingKind::kImage, std::span<const Sha256Digest>(&item.image_digest, 1))
              .front());
      if (item.embedding) return;
      item.image = tools_.encoder.prepare(
          encoder::decode_image(bytes, tools_.image_limits, tools_.image_options));
    } catch (const Error& error) {
      // Neither says anything about this product: others would fail like it.
      if (error.code() == ErrorCode::kInternal || error.code() == ErrorCode::kUnavailable) throw;
      item.failure = error.what();
    } catch (const std::bad_alloc&) {
      item.failure = "not enough memory to read and decode the image";
    }
  }

  /// Cache entries; a damaged one counts as absent, and is then overwritten.
  std::vector<std::optional<std::vector<float>>> cached(
      EmbeddingKind kind, std::span<const Sha256Digest> digests) const {
    try {
      return tools_.database.get_embeddings(fingerprint_, kind, digests, dimension_);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kCorruption) throw;
      spdlog::warn("encoding anew what the embedding cache cannot give: {}", error.what());
      return std::vector<std::optional<std::vector<float>>>(digests.size());
    }
  }

  // On the calling thread from here on.

  void take(Item&& item) {
    if (!item.failure.empty()) {
      fail(item.record, item.product.id, item.failure);
      report_done(1);
    } else if (vectors_) {
      ++report_.imported;
      accept(item);
      report_done(1);
    } else if (item.embedding) {
      accept_image(item, *item.embedding, false);
      report_done(1);
    } else {
      batch_.push_back(std::move(item));
      if (batch_.size() >= tools_.batch_size) encode_images();
    }
  }

  void report_done(std::uint64_t count) {
    done_ += count;
    meter_.update(done_, report_.failed);
  }

  /// Hands the batch to the encoder, and meanwhile finishes the one before, so that the encoder
  /// never waits for the rest of the pipeline. Equal images are encoded once: within a batch by
  /// their digest, across batches because the cache has them by now.
  void encode_images() {
    if (batch_.empty()) return;
    EncodingBatch batch;
    std::map<Sha256Digest, std::size_t> places;  // of the distinct digests
    std::vector<std::size_t> first;              // item of each distinct digest
    for (std::size_t i = 0; i < batch_.size(); ++i) {
      const auto [place, is_new] = places.emplace(batch_[i].image_digest, batch.digests.size());
      if (is_new) {
        batch.digests.push_back(batch_[i].image_digest);
        first.push_back(i);
      }
      batch.places.push_back(place->second);
    }
    const auto is_distinct = [&](const Sha256Digest& digest) { return places.contains(digest); };
    if (encoding_ && std::ranges::any_of(encoding_->digests, is_distinct)) {
      finish_images(std::exchange(encoding_, std::nullopt));
    }
    batch.embeddings = cached(EmbeddingKind::kImage, batch.digests);
    std::vector<encoder::Image> images;
    for (std::size_t place = 0; place < batch.digests.size(); ++place) {
      if (batch.embeddings[place]) continue;
      batch.missing.push_back(place);
      images.push_back(std::move(batch_[first[place]].image));
    }
    batch.encoded =
        tools_.batching.submit_images(std::move(images), BatchingEncoder::Traffic::kIndexing);
    batch.items = std::exchange(batch_, {});
    finish_images(std::exchange(encoding_, std::move(batch)));
  }

  /// Waits for the embeddings of a batch that the encoder has, and puts them into the cache.
  void keep_images(EncodingBatch& batch) {
    const Matrix encoded = batch.encoded.get();
    keep_embeddings(EmbeddingKind::kImage, encoded, batch.missing, batch.digests, batch.embeddings);
  }

  void finish_images(std::optional<EncodingBatch> given) {
    if (!given) return;
    EncodingBatch& batch = *given;
    keep_images(batch);
    std::vector<bool> counted(batch.digests.size(), true);
    for (const std::size_t place : batch.missing) counted[place] = false;
    for (std::size_t i = 0; i < batch.items.size(); ++i) {
      Item& item = batch.items[i];
      const std::size_t place = batch.places[i];
      if (!batch.embeddings[place]) {
        fail(item.record, item.product.id, "the encoder gave the image no finite embedding");
        continue;
      }
      accept_image(item, *batch.embeddings[place], !counted[place]);
      counted[place] = true;
    }
    report_done(batch.items.size());
    check_cancelled();
  }

  /// Puts freshly encoded rows into the cache and into `embeddings`; row i belongs at missing[i].
  /// A row without a direction stays absent.
  void keep_embeddings(EmbeddingKind kind, const Matrix& encoded,
                       std::span<const std::size_t> missing, std::span<const Sha256Digest> digests,
                       std::vector<std::optional<std::vector<float>>>& embeddings) {
    std::vector<Sha256Digest> kept;
    std::vector<float> values;
    for (std::size_t i = 0; i < missing.size(); ++i) {
      const auto row = encoded.row(i);
      std::vector<float> embedding(row.begin(), row.end());
      std::vector<float> unit = embedding;
      if (!normalise_row(unit)) continue;
      kept.push_back(digests[missing[i]]);
      values.insert(values.end(), row.begin(), row.end());
      embeddings[missing[i]] = std::move(embedding);
    }
    if (kept.empty()) return;
    tools_.database.put_embeddings(fingerprint_, kind, kept,
                                   MatrixView{values.data(), kept.size(), dimension_});
  }

  void accept_image(Item& item, std::span<const float> embedding, bool encoded) {
    const auto row = images_.row(item.slot);
    std::copy(embedding.begin(), embedding.end(), row.begin());
    if (!normalise_row(row)) {
      fail(item.record, item.product.id, "the image's embedding has no direction");
      return;
    }
    ++(encoded ? report_.encoded : report_.cached);
    item.embedding.reset();
    item.image = {};
    accept(item);
  }

  /// The image's embedding is known.
  void accept(Item& item) {
    unfinished_.push_back(std::move(item));
    if (unfinished_.size() >= kCaptionBatches * tools_.batch_size) finish_products();
  }

  /// Finds the caption embeddings of the products whose images are done, and stores the products.
  void finish_products() {
    if (imports(Target::kCaption)) {
      report_.captions_imported += unfinished_.size();
    } else {
      encode_captions();
    }
    std::vector<Product> products;
    for (Item& item : unfinished_) {
      if (!item.failure.empty()) {
        fail(item.record, item.product.id, item.failure);
        continue;
      }
      ids_[item.slot] = item.product.id;
      content_digests_[item.slot] = item.content_digest;
      if (vectors_) vectors_rows_[item.slot] = item.vectors_row;
      indexed_[item.slot] = true;
      products.push_back(std::move(item.product));
    }
    if (!products.empty()) {
      tools_.database.put_products(request_.name, generation_, products);
    }
    unfinished_.clear();
  }

  void encode_captions() {
    std::unordered_map<std::string_view, std::size_t> places;  // of the distinct captions
    std::vector<std::string> texts;
    std::vector<Sha256Digest> digests;
    for (const Item& item : unfinished_) {
      if (places.emplace(item.product.caption, texts.size()).second) {
        texts.push_back(item.product.caption);
        digests.push_back(sha256(item.product.caption));
      }
    }
    auto embeddings = cached(EmbeddingKind::kText, digests);
    std::vector<std::size_t> missing;
    for (std::size_t place = 0; place < texts.size(); ++place) {
      if (!embeddings[place]) missing.push_back(place);
    }
    check_cancelled();
    std::vector<encoder::TokenizedText> tokenized;
    for (const std::size_t place : missing) {
      tokenized.push_back(tools_.encoder.tokenize(texts[place]));
    }
    keep_embeddings(
        EmbeddingKind::kText,
        tools_.batching.encode_texts(std::move(tokenized), BatchingEncoder::Traffic::kIndexing),
        missing, digests, embeddings);
    std::uint64_t known = unfinished_.size();
    for (const std::size_t place : missing) known -= embeddings[place] ? 1 : 0;
    report_.captions_cached += known;
    report_.captions_encoded += unfinished_.size() - known;

    for (Item& item : unfinished_) {
      const auto& embedding = embeddings[places.at(item.product.caption)];
      const auto row = captions_.row(item.slot);
      if (embedding) std::copy(embedding->begin(), embedding->end(), row.begin());
      if (!embedding || !normalise_row(row)) {
        item.failure = "the encoder gave the caption no finite embedding";
      }
    }
  }

  void drop_failed_rows() {
    Sha256 content;
    std::size_t rows = 0;
    for (std::size_t slot = 0; slot < slots_; ++slot) {
      if (!indexed_[slot]) continue;
      if (rows != slot) {
        for (Matrix* matrix : {&images_, &captions_}) {
          if (!matrix->empty()) std::ranges::copy(matrix->row(slot), matrix->row(rows).begin());
        }
        if (vectors_) vectors_rows_[rows] = vectors_rows_[slot];
        ids_[rows] = std::move(ids_[slot]);
      }
      content.update({reinterpret_cast<const char*>(content_digests_[slot].data()),
                      content_digests_[slot].size()});
      ++rows;
    }
    if (rows == 0) throw nothing_to_index();
    ids_.resize(rows);
    report_.indexed = rows;
    report_.content_hash = to_hex(content.finish());
  }

  void build_indices() {
    check_cancelled();
    meter_.begin_stage(IndexStage::kBuilding, 2 * report_.indexed);
    storage::write_rows(folder_, ids_);
    write_attributes(tools_.database, request_.name, generation_, ids_, folder_);
    // Captions first: then the one matrix that is not imported, if any, is gone before the other
    // is read.
    build_index(embeddings_of(Target::kCaption), storage::kCaptionIndexFile, 0);
    build_index(embeddings_of(Target::kImage), storage::kImageIndexFile, report_.indexed);
    meter_.end_stage();
    check_cancelled();
  }

  /// Leaves no other copy. The rows of what was indexed come first.
  Matrix embeddings_of(Target target) {
    if (!imports(target)) {
      return std::exchange(target == Target::kImage ? images_ : captions_, {});
    }
    Matrix vectors(report_.indexed, dimension_);
    for (std::size_t row = 0; row < report_.indexed; ++row) {
      check_cancelled();
      const std::string fault = vectors_->read(target, vectors_rows_[row], vectors.row(row));
      if (!fault.empty()) {
        throw failed_precondition("a file of vectors changed while it was read: " + fault);
      }
    }
    return vectors;
  }

  /// before: rows of indices that are built already.
  void build_index(const Matrix& vectors, const char* file, std::uint64_t before) {
    const auto progress = [this, before](std::size_t done, std::size_t /*total*/) {
      check_cancelled();
      meter_.update(before + done, report_.failed);
    };
    const auto built =
        index::build_index({vectors.data(), report_.indexed, dimension_}, request_.index, progress);
    check_cancelled();
    built->save(folder_ / file);
  }

  void write_manifest(const storage::ImageSource& source) {
    meter_.begin_stage(IndexStage::kPublishing, report_.indexed);
    storage::Manifest manifest;
    manifest.catalog = request_.name;
    manifest.generation = generation_;
    manifest.encoder_fingerprint = fingerprint_;
    manifest.dimension = static_cast<int>(dimension_);
    manifest.index = index_to_json(request_);
    manifest.product_count = report_.indexed;
    manifest.image_source = request_.image_source;
    manifest.image_source.location = source.location();
    manifest.catalog_file = std::filesystem::absolute(request_.catalog_file).lexically_normal();
    if (request_.vectors) manifest.vectors = absolute(*request_.vectors);
    manifest.content_hash = report_.content_hash;
    manifest.created_at = utc_now();
    manifest.covered_sequence = covered_sequence_;
    tools_.generations.finish(std::move(manifest), storage::kIndexFiles);
    meter_.update(report_.indexed, report_.failed);
    meter_.end_stage();
  }

  static storage::VectorFiles absolute(storage::VectorFiles files) {
    for (std::string* file : {&files.images, &files.captions, &files.ids}) {
      if (!file->empty()) *file = std::filesystem::absolute(*file).lexically_normal();
    }
    return files;
  }

  // Constant after construction.
  const IndexingTools& tools_;
  const IndexRequest& request_;
  const std::uint64_t generation_;
  const std::filesystem::path& folder_;
  const std::uint64_t covered_sequence_;
  const std::atomic<bool>* const cancel_;
  const std::string fingerprint_;
  const std::size_t dimension_;

  // Of the calling thread.
  ProgressMeter meter_;
  IndexReport report_;
  std::map<std::uint64_t, FailedProduct> failures_;  // by record
  std::uint64_t done_ = 0;                           // products of the encoding stage
  std::vector<Item> batch_;                          // images that wait for the encoder
  std::optional<EncodingBatch> encoding_;            // those that it has
  std::vector<Item> unfinished_;                     // products that wait for their captions
  Matrix images_;                                    // unit rows, by slot
  Matrix captions_;                                  // unit rows, by slot
  std::vector<std::string> ids_;                     // by slot
  std::vector<Sha256Digest> content_digests_;        // by slot
  std::vector<std::size_t> vectors_rows_;            // by slot, when vectors are imported
  std::vector<bool> indexed_;                        // by slot

  // Between the threads. slots_ and vectors_ are set before they start.
  std::size_t slots_ = 0;
  std::optional<ImportedVectors> vectors_;
  BoundedQueue<Item> products_;
  BoundedQueue<Item> ready_;
  std::atomic<int> decoders_left_{0};
  std::mutex error_mutex_;
  std::exception_ptr thread_error_;  // guarded by error_mutex_ until the threads are joined
};

}  // namespace

IndexReport build_generation(const IndexingTools& tools, const IndexRequest& request,
                             std::uint64_t generation, const std::filesystem::path& folder,
                             std::uint64_t covered_sequence, const ProgressCallback& progress,
                             const std::atomic<bool>* cancel) {
  return Run(tools, request, generation, folder, covered_sequence, progress, cancel).run();
}

}  // namespace vitrine::engine
