#include "bench/made_up_catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <vector>

#include "engine/filter/generation_attributes.h"
#include "engine/report_json.h"
#include "storage/database.h"
#include "storage/generation_store.h"
#include "storage/product_ids.h"

namespace vitrine::bench {
namespace {

class MadeUpEncoder : public encoder::Encoder {
 public:
  MadeUpEncoder(std::size_t dimension, std::string fingerprint)
      : dimension_(dimension), fingerprint_(std::move(fingerprint)) {}

  int dimension() const override { return static_cast<int>(dimension_); }
  Matrix encode_images(std::span<const encoder::Image> images) const override {
    return same(images.size());
  }
  encoder::TokenizedText tokenize(std::string_view) const override { return {}; }
  Matrix encode_tokenized(std::span<const encoder::TokenizedText> texts) const override {
    return same(texts.size());
  }
  float logit_scale() const override { return 1; }
  const std::string& fingerprint() const override { return fingerprint_; }
  encoder::EncoderInfo info() const override { return {}; }

 private:
  Matrix same(std::size_t rows) const {
    Matrix matrix(rows, dimension_);
    for (std::size_t i = 0; i < rows; ++i) matrix.row(i)[0] = 1;
    return matrix;
  }

  const std::size_t dimension_;
  const std::string fingerprint_;
};

double lap(std::chrono::steady_clock::time_point& since) {
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - since).count();
  since = now;
  return seconds;
}

}  // namespace

std::unique_ptr<const encoder::Encoder> made_up_encoder(std::size_t dimension,
                                                        const std::string& fingerprint) {
  return std::make_unique<MadeUpEncoder>(dimension, fingerprint);
}

std::string made_up_id(std::size_t row) { return fmt::format("p{:07}", row); }

storage::Product made_up_product(std::size_t row) {
  static constexpr std::array<const char*, 8> kColours = {"red",   "blue", "green", "black",
                                                          "white", "pink", "grey",  "brown"};
  static constexpr std::array<const char*, 5> kSizes = {"XS", "S", "M", "L", "XL"};
  storage::Product product;
  product.id = made_up_id(row);
  product.image = fmt::format("images/{:04}/{:07}.jpg", row / 1000, row);
  product.caption = fmt::format("a {} garment of cotton, number {}, for every day of the year",
                                kColours[row % kColours.size()], row);
  product.attributes = {{"brand", fmt::format("brand {}", row * 2654435761U % 997)},
                        {"colour", kColours[row % kColours.size()]},
                        {"price", static_cast<double>(row * 40503U % 20000) / 100},
                        {"sizes", {kSizes[row % 5], kSizes[row / 5 % 5]}}};
  return product;
}

BuildTimes make_catalog(const std::filesystem::path& data_dir, const std::string& name,
                        MatrixView vectors, const index::IndexSpec& spec,
                        const std::string& fingerprint) {
  constexpr std::size_t kBatch = 1024;
  std::filesystem::create_directories(data_dir);
  storage::Database database(data_dir / "meta");
  storage::GenerationStore generations(data_dir);
  const auto [number, folder] = generations.begin(name);
  BuildTimes times;
  auto since = std::chrono::steady_clock::now();

  std::vector<std::string> ids;
  std::vector<storage::Product> batch;
  for (std::size_t row = 0; row < vectors.rows; ++row) {
    ids.push_back(made_up_id(row));
    batch.push_back(made_up_product(row));
    if (batch.size() < kBatch && row + 1 < vectors.rows) continue;
    database.put_products(name, number, batch);
    batch.clear();
  }
  storage::write_rows(folder, ids);
  engine::write_attributes(database, name, number, ids, folder);
  times.products_s = lap(since);

  for (const char* file : {storage::kImageIndexFile, storage::kCaptionIndexFile}) {
    index::build_index(vectors, spec)->save(folder / file);
  }
  times.index_s = lap(since);

  storage::Manifest manifest;
  manifest.catalog = name;
  manifest.generation = number;
  manifest.encoder_fingerprint = fingerprint;
  manifest.dimension = static_cast<int>(vectors.cols);
  manifest.index = engine::to_json(spec);
  manifest.product_count = vectors.rows;
  manifest.image_source.location = data_dir;
  manifest.catalog_file = data_dir / "made-up.jsonl";
  manifest.content_hash = std::string(64, '0');
  manifest.created_at = "2024-01-01T00:00:00Z";
  generations.finish(std::move(manifest), storage::kIndexFiles);
  database.publish_generation(name, {number, {}});
  times.finish_s = lap(since);
  return times;
}

}  // namespace vitrine::bench
