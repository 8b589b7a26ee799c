#include "engine/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <numeric>
#include <random>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "engine/filter/generation_attributes.h"
#include "engine/generation_search.h"
#include "engine/report_json.h"
#include "storage/database.h"
#include "storage/generation_store.h"
#include "storage/product_ids.h"

namespace vitrine::engine {

/// A generation.
struct Catalog::State {
  // Constant after construction.
  const storage::Database* database = nullptr;
  storage::Manifest manifest;
  IndexRequest request;
  std::optional<storage::ProductIds> ids;
  std::unique_ptr<const index::VectorIndex> images;
  std::unique_ptr<const index::VectorIndex> captions;
  std::optional<AttributeIndex> attributes;

  // The image source is opened when first asked: a catalog can be searched while its images are
  // out of reach.
  mutable std::mutex mutex;
  mutable std::shared_ptr<const storage::ImageSource> source;  // guarded by mutex

  /// Set by the first who needs it.
  struct Sample {
    std::once_flag once;
    Matrix rows;
  };
  mutable Sample image_sample;
  mutable Sample caption_sample;
};

namespace {

/// Rows spread over the whole index.
Matrix sample_rows(const index::VectorIndex& index) {
  constexpr std::size_t kSample = 512;
  const std::size_t count = std::min(kSample, index.size());
  Matrix sample(count, index.dimension());
  for (std::size_t i = 0; i < count; ++i) {
    const auto row = static_cast<std::int64_t>(i * index.size() / count);
    std::ranges::copy(index.vector(row), sample.row(i).begin());
  }
  return sample;
}

std::unique_ptr<const index::VectorIndex> open_checked(const storage::Manifest& manifest,
                                                       const std::filesystem::path& file,
                                                       const index::DeviceOptions& device) {
  std::unique_ptr<const index::VectorIndex> index = index::open_index(file, device);
  if (index->size() != manifest.product_count ||
      index->dimension() != static_cast<std::size_t>(manifest.dimension)) {
    throw corruption(fmt::format(
        "{} holds {} vectors of {} columns, but its manifest promises {} of {}", file.string(),
        index->size(), index->dimension(), manifest.product_count, manifest.dimension));
  }
  return index;
}

}  // namespace

IndexRequest request_of(const storage::Manifest& manifest) {
  IndexRequest request;
  request.name = manifest.catalog;
  request.catalog_file = manifest.catalog_file;
  request.image_source = manifest.image_source;
  request.vectors = manifest.vectors;
  index_from_json(manifest.index, request);
  return request;
}

std::shared_ptr<const Catalog> Catalog::open(const storage::GenerationStore& generations,
                                             const storage::Database& database,
                                             const std::string& name, std::uint64_t generation,
                                             const GenerationOptions& options) {
  auto state = std::make_unique<State>();
  state->database = &database;
  state->manifest = generations.open(name, generation);
  const storage::Manifest& manifest = state->manifest;
  const std::filesystem::path folder = generations.folder(name, generation);
  state->request = request_of(manifest);
  state->request.image_source.max_bytes = options.image_max_bytes;
  state->ids.emplace(folder, manifest.product_count);
  state->images = open_checked(manifest, folder / storage::kImageIndexFile, options.device);
  state->captions = open_checked(manifest, folder / storage::kCaptionIndexFile, options.device);
  state->attributes = open_attributes(database, manifest, *state->ids, folder);
  Delta none(state->ids->size(), state->images->dimension(), manifest.covered_sequence);
  return std::shared_ptr<const Catalog>(new Catalog(std::move(state), std::move(none)));
}

std::shared_ptr<const Catalog> Catalog::with(Delta delta) const {
  return std::shared_ptr<const Catalog>(new Catalog(state_, std::move(delta)));
}

Catalog::Catalog(std::shared_ptr<const State> state, Delta delta)
    : state_(std::move(state)), delta_(std::move(delta)) {}
Catalog::~Catalog() = default;

const std::string& Catalog::name() const { return state_->manifest.catalog; }
std::uint64_t Catalog::generation() const { return state_->manifest.generation; }
std::size_t Catalog::size() const { return base_rows() - delta_.tombstones() + delta_.live_rows(); }
std::size_t Catalog::base_rows() const { return state_->ids->size(); }
std::size_t Catalog::dimension() const { return state_->images->dimension(); }
const std::string& Catalog::content_hash() const { return state_->manifest.content_hash; }
const std::string& Catalog::encoder_fingerprint() const {
  return state_->manifest.encoder_fingerprint;
}
const std::string& Catalog::created_at() const { return state_->manifest.created_at; }
const std::string& Catalog::index_kind() const { return state_->request.index.kind; }
std::string Catalog::index_device() const {
  const std::string images = state_->images->device();
  return images == state_->captions->device() ? images : "mixed";
}
const storage::ImageSourceSpec& Catalog::image_source() const {
  return state_->request.image_source;
}
const IndexRequest& Catalog::request() const { return state_->request; }

bool Catalog::is_live(std::size_t row) const {
  if (row >= base_rows()) return delta_.is_live(row - base_rows());
  return delta_.live_base() == nullptr || delta_.live_base()->contains(row);
}

std::vector<std::size_t> Catalog::live_rows() const {
  std::vector<std::size_t> live;
  live.reserve(size());
  for (std::size_t row = 0; row < rows(); ++row) {
    if (is_live(row)) live.push_back(row);
  }
  return live;
}

std::string_view Catalog::id(std::size_t row) const {
  if (row >= rows()) {
    throw invalid_argument(
        fmt::format("row {} of catalog {}: rows are 0 to {}", row, name(), rows() - 1));
  }
  if (row < base_rows()) return state_->ids->at(row);
  return delta_.product(row - base_rows()).id;
}

std::size_t Catalog::require_row(std::string_view id) const {
  const std::optional<std::size_t> row = row_of(id);
  if (!row) {
    throw not_found(fmt::format("catalog {} has no product \"{}\"", name(), printable(id)));
  }
  return *row;
}

std::optional<std::size_t> Catalog::base_row_of(std::string_view id) const {
  return state_->ids->find(id);
}

std::optional<std::size_t> Catalog::row_of(std::string_view id) const {
  if (const auto row = delta_.find(id)) return base_rows() + *row;
  const std::optional<std::size_t> row = base_row_of(id);
  return row && is_live(*row) ? row : std::nullopt;
}

std::optional<storage::Product> Catalog::product(std::string_view id) const {
  const std::optional<std::size_t> row = row_of(id);
  if (!row) return std::nullopt;
  return std::move(products({&*row, 1}).front());
}

std::vector<storage::Product> Catalog::products(std::span<const std::size_t> rows) const {
  std::vector<std::string> ids;  // of the generation's
  for (const std::size_t row : rows) {
    if (row < base_rows()) ids.emplace_back(id(row));
  }
  std::vector<std::optional<storage::Product>> found =
      state_->database->get_products(name(), generation(), ids);
  std::vector<storage::Product> products;
  products.reserve(rows.size());
  std::size_t next = 0;
  for (const std::size_t row : rows) {
    if (row >= base_rows()) {
      id(row);  // checks it
      products.push_back(delta_.product(row - base_rows()));
      continue;
    }
    std::optional<storage::Product>& product = found[next++];
    if (!product) {
      throw corruption(
          fmt::format("the record of product {} is missing from generation {} of catalog {}; "
                      "reindex the catalog",
                      printable(id(row)), generation(), name()));
    }
    products.push_back(std::move(*product));
  }
  return products;
}

storage::Product Catalog::random_product() const {
  if (size() == 0) throw not_found("catalog " + name() + " has no product");
  thread_local std::minstd_rand generator{std::random_device{}()};
  std::uniform_int_distribution<std::size_t> any_row(0, rows() - 1);
  constexpr int kDraws = 64;  // dead rows are few, unless nearly everything was deleted
  std::size_t row = any_row(generator);
  for (int draw = 1; draw < kDraws && !is_live(row); ++draw) row = any_row(generator);
  if (!is_live(row)) {
    const std::vector<std::size_t> live = live_rows();
    row = live[std::uniform_int_distribution<std::size_t>(0, live.size() - 1)(generator)];
  }
  return std::move(products({&row, 1}).front());
}

std::string Catalog::read_image(const storage::Product& product) const {
  if (product.image.empty()) {
    throw not_found(fmt::format("product \"{}\" has no image: only its embedding was given",
                                printable(product.id)));
  }
  if (const auto upload = storage::parse_upload_name(product.image)) {
    if (auto bytes = state_->database->get_upload(name(), *upload)) return std::move(*bytes);
  }
  return read_source_image(product.image);
}

std::string Catalog::read_source_image(const std::string& image) const {
  std::shared_ptr<const storage::ImageSource> source;
  try {
    const std::lock_guard lock(state_->mutex);
    if (!state_->source) state_->source = storage::open_image_source(image_source());
    source = state_->source;
  } catch (const Error& error) {
    throw unavailable(error.what());  // not the fault of whoever asks for an image
  }
  try {
    return source->read(image);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kUnavailable) {  // opened anew when it is asked again
      const std::lock_guard lock(state_->mutex);
      if (state_->source == source) state_->source.reset();
    }
    throw;
  }
}

index::SearchResult Catalog::search(Target target, MatrixView queries, int k,
                                    const index::SearchOptions& options,
                                    const index::RowSet* delta_allowed) const {
  index::SearchResult base = search_generation(index(target), delta_, queries, k, options);
  if (delta_.live_rows() == 0) return base;
  std::vector<float> worst(base.queries);  // where k of the generation score more, none is a hit
  for (std::size_t query = 0; query < base.queries; ++query) {
    worst[query] = base.scores[(query + 1) * base.k - 1];
  }
  const index::SearchResult delta =
      delta_.search(target, queries, static_cast<std::size_t>(k), delta_allowed, worst);

  index::SearchResult merged = base;
  for (std::size_t query = 0; query < base.queries; ++query) {
    const std::size_t first = query * base.k;
    std::size_t from_base = first;
    std::size_t from_delta = first;
    for (std::size_t place = first; place < first + base.k; ++place) {
      const bool take_delta = delta.rows[from_delta] != index::kNoRow &&
                              (base.rows[from_base] == index::kNoRow ||
                               delta.scores[from_delta] > base.scores[from_base]);
      if (take_delta) {
        merged.rows[place] = delta.rows[from_delta] + static_cast<std::int64_t>(base_rows());
        merged.scores[place] = delta.scores[from_delta++];
      } else {
        merged.rows[place] = base.rows[from_base];
        merged.scores[place] = base.scores[from_base++];
      }
    }
  }
  return merged;
}

std::vector<float> Catalog::vector(Target target, std::size_t row) const {
  if (row < base_rows()) return index(target).vector(static_cast<std::int64_t>(row));
  id(row);  // checks it
  const std::span<const float> embedding = delta_.vector(target, row - base_rows());
  return {embedding.begin(), embedding.end()};
}

MatrixView Catalog::sample(Target target) const {
  State::Sample& sample = target == Target::kImage ? state_->image_sample : state_->caption_sample;
  std::call_once(sample.once, [&] { sample.rows = sample_rows(index(target)); });
  return sample.rows;
}

void Catalog::require_encoder(const std::string& fingerprint) const {
  if (fingerprint == encoder_fingerprint()) return;
  throw failed_precondition(fmt::format(
      "catalog {} was indexed with another encoder (fingerprint {:.12}..., loaded is {:.12}...); "
      "reindex it, or load the checkpoint it was indexed with, in the same precision (int8 or not) "
      "and with the same image options",
      name(), encoder_fingerprint(), fingerprint));
}

const AttributeIndex& Catalog::attributes() const { return *state_->attributes; }

const index::VectorIndex& Catalog::index(Target target) const {
  return target == Target::kImage ? *state_->images : *state_->captions;
}

}  // namespace vitrine::engine
