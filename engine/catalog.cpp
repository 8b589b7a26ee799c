#include "engine/catalog.h"

#include <fmt/format.h>

#include <mutex>
#include <random>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "engine/report_json.h"
#include "storage/database.h"
#include "storage/generation_store.h"

namespace vitrine::engine {

struct Catalog::State {
  // Constant after construction.
  const storage::Database* database = nullptr;
  storage::Manifest manifest;
  IndexRequest request;
  std::vector<std::string> ids;                            // by row
  std::unordered_map<std::string_view, std::size_t> rows;  // views into ids
  std::unique_ptr<const index::VectorIndex> images;
  std::unique_ptr<const index::VectorIndex> captions;

  // The image source is opened when first asked: a catalog can be searched while its images are
  // out of reach.
  mutable std::mutex mutex;
  mutable std::shared_ptr<const storage::ImageSource> source;  // guarded by mutex
};

namespace {

std::unique_ptr<const index::VectorIndex> open_checked(const storage::Manifest& manifest,
                                                       const std::filesystem::path& file) {
  std::unique_ptr<const index::VectorIndex> index = index::open_index(file);
  if (index->size() != manifest.product_count ||
      index->dimension() != static_cast<std::size_t>(manifest.dimension)) {
    throw corruption(fmt::format(
        "{} holds {} vectors of {} columns, but its manifest promises {} of {}", file.string(),
        index->size(), index->dimension(), manifest.product_count, manifest.dimension));
  }
  return index;
}

}  // namespace

std::shared_ptr<const Catalog> Catalog::open(const storage::GenerationStore& generations,
                                             const storage::Database& database,
                                             const std::string& name, std::uint64_t generation) {
  auto state = std::make_unique<State>();
  state->database = &database;
  state->manifest = generations.open(name, generation);
  const storage::Manifest& manifest = state->manifest;
  const std::filesystem::path folder = generations.folder(name, generation);
  state->request.name = name;
  state->request.catalog_file = manifest.catalog_file;
  state->request.image_source = manifest.image_source;
  state->request.index = index_spec_from_json(manifest.index);
  state->ids = storage::read_rows(folder, manifest.product_count);
  state->rows.reserve(state->ids.size());
  for (std::size_t row = 0; row < state->ids.size(); ++row) {
    if (!state->rows.emplace(state->ids[row], row).second) {
      throw corruption(fmt::format("generation {} of catalog {} lists the product {} twice",
                                   generation, name, printable(state->ids[row])));
    }
  }
  state->images = open_checked(manifest, folder / storage::kImageIndexFile);
  state->captions = open_checked(manifest, folder / storage::kCaptionIndexFile);
  return std::shared_ptr<const Catalog>(new Catalog(std::move(state)));
}

Catalog::Catalog(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Catalog::~Catalog() = default;

const std::string& Catalog::name() const { return state_->manifest.catalog; }
std::uint64_t Catalog::generation() const { return state_->manifest.generation; }
std::size_t Catalog::size() const { return state_->ids.size(); }
std::size_t Catalog::dimension() const { return state_->images->dimension(); }
const std::string& Catalog::content_hash() const { return state_->manifest.content_hash; }
const std::string& Catalog::encoder_fingerprint() const {
  return state_->manifest.encoder_fingerprint;
}
const std::string& Catalog::created_at() const { return state_->manifest.created_at; }
const std::string& Catalog::index_kind() const { return state_->request.index.kind; }
const storage::ImageSourceSpec& Catalog::image_source() const {
  return state_->request.image_source;
}
const IndexRequest& Catalog::request() const { return state_->request; }

const std::string& Catalog::id(std::size_t row) const {
  if (row >= size()) {
    throw invalid_argument(
        fmt::format("row {} of catalog {}: rows are 0 to {}", row, name(), size() - 1));
  }
  return state_->ids[row];
}

std::optional<std::size_t> Catalog::row_of(std::string_view id) const {
  const auto found = state_->rows.find(id);
  if (found == state_->rows.end()) return std::nullopt;
  return found->second;
}

std::optional<storage::Product> Catalog::product(std::string_view id) const {
  const std::optional<std::size_t> row = row_of(id);
  if (!row) return std::nullopt;
  return std::move(products({&*row, 1}).front());
}

std::vector<storage::Product> Catalog::products(std::span<const std::size_t> rows) const {
  std::vector<std::string> ids;
  ids.reserve(rows.size());
  for (const std::size_t row : rows) ids.push_back(id(row));
  std::vector<std::optional<storage::Product>> found =
      state_->database->get_products(name(), generation(), ids);
  std::vector<storage::Product> products;
  products.reserve(found.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (!found[i]) {
      throw corruption(
          fmt::format("the record of product {} is missing from generation {} of catalog {}; "
                      "reindex the catalog",
                      printable(ids[i]), generation(), name()));
    }
    products.push_back(std::move(*found[i]));
  }
  return products;
}

storage::Product Catalog::random_product() const {
  thread_local std::minstd_rand generator{std::random_device{}()};
  const std::size_t row = std::uniform_int_distribution<std::size_t>(0, size() - 1)(generator);
  return std::move(products({&row, 1}).front());
}

std::string Catalog::read_image(const storage::Product& product) const {
  std::shared_ptr<const storage::ImageSource> source;
  {
    const std::lock_guard lock(state_->mutex);
    if (!state_->source) state_->source = storage::open_image_source(image_source());
    source = state_->source;
  }
  return source->read(product.image);
}

void Catalog::require_encoder(const std::string& fingerprint) const {
  if (fingerprint == encoder_fingerprint()) return;
  throw failed_precondition(fmt::format(
      "catalog {} was indexed with another encoder (fingerprint {:.12}..., loaded is {:.12}...); "
      "reindex it, or load the checkpoint it was indexed with",
      name(), encoder_fingerprint(), fingerprint));
}

const index::VectorIndex& Catalog::index(Target target) const {
  return target == Target::kImage ? *state_->images : *state_->captions;
}

}  // namespace vitrine::engine
