#include "engine/merging.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "base/compute_threads.h"
#include "base/error.h"
#include "base/file.h"
#include "base/matrix.h"
#include "base/sha256.h"
#include "engine/filter/attribute_index.h"
#include "engine/filter/attribute_index_builder.h"
#include "engine/progress_meter.h"
#include "engine/report_json.h"
#include "engine/timestamp.h"
#include "index/vector_index.h"
#include "storage/product_ids.h"

namespace vitrine::engine {
namespace {

/// Products that are read and stored together: about a millisecond's work, for it gives way between
/// two batches.
constexpr std::size_t kBatch = 128;

class Merge {
 public:
  Merge(storage::Database& database, storage::GenerationStore& generations, const Catalog& catalog,
        const IndexRequest& request, std::uint64_t generation, const std::filesystem::path& folder,
        const ProgressCallback& progress, const std::atomic<bool>* cancel)
      : database_(database),
        generations_(generations),
        catalog_(catalog),
        request_(request),
        generation_(generation),
        folder_(folder),
        cancel_(cancel),
        rows_(catalog.live_rows()),
        meter_(progress) {}

  IndexReport run() {
    const auto start = std::chrono::steady_clock::now();
    if (rows_.empty()) {
      throw failed_precondition("catalog " + catalog_.name() +
                                " has no product left; there is nothing to build an index from");
    }
    report_.products = rows_.size();
    report_.indexed = rows_.size();
    report_.cached = rows_.size();
    report_.captions_cached = rows_.size();
    report_.generation = generation_;
    copy_products();
    build_indices();
    write_manifest();
    report_.seconds = milliseconds_since(start) / 1000;
    return std::move(report_);
  }

 private:
  void check_cancelled() const {
    if (cancel_ != nullptr && cancel_->load(std::memory_order_relaxed)) {
      throw cancelled("merging the updates of catalog " + catalog_.name() + " was cancelled");
    }
  }

  void copy_products() {
    meter_.begin_stage(IndexStage::kReading, rows_.size());
    Sha256 content;
    content.update(catalog_.content_hash());
    std::vector<std::string> ids;
    ids.reserve(rows_.size());
    AttributeIndexBuilder attributes(rows_.size());
    for (std::size_t begin = 0; begin < rows_.size(); begin += kBatch) {
      check_cancelled();
      const auto part = std::span(rows_).subspan(begin, std::min(kBatch, rows_.size() - begin));
      const std::vector<storage::Product> products = catalog_.products(part);
      for (std::size_t i = 0; i < part.size(); ++i) {
        if (part[i] >= catalog_.base_rows()) add_to_hash(products[i], part[i], content);
        ids.push_back(products[i].id);
        attributes.add(products[i].attributes);
      }
      database_.put_products(catalog_.name(), generation_, products);
      meter_.update(begin + part.size(), 0);
      give_way();
    }
    for (std::size_t row = 0; row < catalog_.base_rows(); ++row) {
      if (!catalog_.is_live(row)) content.update(fmt::format("-{}", row));
    }
    report_.content_hash = to_hex(content.finish());
    storage::write_rows(folder_, ids);
    write_file_atomically(folder_ / kAttributesFile, attributes.finish());
    meter_.end_stage();
  }

  void add_to_hash(const storage::Product& product, std::size_t row, Sha256& content) const {
    const auto add = [&content](std::string_view field) {
      content.update(fmt::format("{}:", field.size()));  // so that no two lists look alike
      content.update(field);
    };
    add(product.id);
    add(product.image);
    add(product.caption);
    add(product.attributes.dump());
    for (const Target target : {Target::kImage, Target::kCaption}) {
      const std::vector<float> vector = catalog_.vector(target, row);
      add({reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float)});
    }
  }

  void build_indices() {
    meter_.begin_stage(IndexStage::kBuilding, 2 * rows_.size());
    build_index(Target::kImage, storage::kImageIndexFile, 0);
    build_index(Target::kCaption, storage::kCaptionIndexFile, rows_.size());
    meter_.end_stage();
    check_cancelled();
  }

  /// before: rows of indices that are built already.
  void build_index(Target target, const char* file, std::size_t before) {
    check_cancelled();
    Matrix vectors(rows_.size(), catalog_.dimension());
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      std::ranges::copy(catalog_.vector(target, rows_[i]), vectors.row(i).begin());
      give_way();
    }
    const auto progress = [this, before](std::size_t done, std::size_t /*total*/) {
      check_cancelled();
      meter_.update(before + done, 0);
    };
    const auto built = index::build_index(vectors, request_.index, progress);
    check_cancelled();
    built->save(folder_ / file);
  }

  void write_manifest() {
    meter_.begin_stage(IndexStage::kPublishing, rows_.size());
    storage::Manifest manifest;
    manifest.catalog = catalog_.name();
    manifest.generation = generation_;
    manifest.encoder_fingerprint = catalog_.encoder_fingerprint();
    manifest.dimension = static_cast<int>(catalog_.dimension());
    manifest.index = index_to_json(request_);
    manifest.product_count = rows_.size();
    manifest.image_source = catalog_.image_source();
    manifest.catalog_file = catalog_.request().catalog_file;
    manifest.vectors = catalog_.request().vectors;
    manifest.content_hash = report_.content_hash;
    manifest.created_at = utc_now();
    manifest.covered_sequence = catalog_.sequence();
    generations_.finish(std::move(manifest), storage::kIndexFiles);
    meter_.update(rows_.size(), 0);
    meter_.end_stage();
  }

  // Constant after construction.
  storage::Database& database_;
  storage::GenerationStore& generations_;
  const Catalog& catalog_;
  const IndexRequest& request_;
  const std::uint64_t generation_;
  const std::filesystem::path& folder_;
  const std::atomic<bool>* const cancel_;
  const std::vector<std::size_t> rows_;  // of the snapshot, by row of the new generation

  ProgressMeter meter_;
  IndexReport report_;
};

}  // namespace

IndexReport build_merged_generation(storage::Database& database,
                                    storage::GenerationStore& generations, const Catalog& catalog,
                                    const IndexRequest& request, std::uint64_t generation,
                                    const std::filesystem::path& folder,
                                    const ProgressCallback& progress,
                                    const std::atomic<bool>* cancel) {
  return Merge(database, generations, catalog, request, generation, folder, progress, cancel).run();
}

}  // namespace vitrine::engine
