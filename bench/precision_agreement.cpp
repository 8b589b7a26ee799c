// What a precision changes: encodes a catalog in float32 and in another precision, and compares
// the embeddings and the ten best hits of every caption and every image. See bench/README.md.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "encoder/encoder.h"
#include "encoder/image_decoder.h"
#include "storage/catalog_reader.h"
#include "storage/image_source.h"

namespace {

using vitrine::Matrix;

constexpr std::size_t kHits = 10;

struct Inputs {
  std::vector<vitrine::encoder::Image> images;
  std::vector<std::string> texts;
};

struct Embeddings {
  Matrix images;
  Matrix texts;
};

Inputs read_inputs(const std::string& catalog, const std::string& image_root) {
  const auto source = vitrine::storage::open_image_source({.location = image_root});
  Inputs inputs;
  std::set<std::string> captions;
  vitrine::storage::read_catalog(
      catalog,
      [&](vitrine::storage::Product&& product) {
        inputs.images.push_back(vitrine::encoder::decode_image(source->read(product.image)));
        captions.insert(product.caption);
      },
      [](vitrine::storage::BadRecord&& bad) { fmt::print(stderr, "skipped: {}\n", bad.reason); });
  inputs.texts.assign(captions.begin(), captions.end());
  return inputs;
}

Matrix unit_rows(Matrix matrix) {
  for (std::size_t row = 0; row < matrix.rows(); ++row) {
    double square = 0;
    for (const float value : matrix.row(row)) square += double{value} * value;
    for (float& value : matrix.row(row)) value = static_cast<float>(value / std::sqrt(square));
  }
  return matrix;
}

Embeddings encode(const std::string& model, vitrine::encoder::Precision precision,
                  const Inputs& inputs) {
  const auto encoder = vitrine::encoder::load_encoder({.model = model, .precision = precision});
  return {unit_rows(encoder->encode_images(inputs.images)),
          unit_rows(encoder->encode_texts(inputs.texts))};
}

double cosine(std::span<const float> a, std::span<const float> b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

double least_cosine(const Matrix& a, const Matrix& b) {
  double least = 1;
  for (std::size_t row = 0; row < a.rows(); ++row) {
    least = std::min(least, cosine(a.row(row), b.row(row)));
  }
  return least;
}

/// Rows of the best images, without the query itself where it is one of them.
std::set<std::size_t> best_rows(std::span<const float> query, const Matrix& images,
                                std::size_t without) {
  std::vector<std::pair<double, std::size_t>> scores;
  for (std::size_t row = 0; row < images.rows(); ++row) {
    if (row != without) scores.emplace_back(-cosine(query, images.row(row)), row);
  }
  const std::size_t count = std::min(kHits, scores.size());
  std::partial_sort(scores.begin(), scores.begin() + static_cast<std::ptrdiff_t>(count),
                    scores.end());
  std::set<std::size_t> rows;
  for (std::size_t i = 0; i < count; ++i) rows.insert(scores[i].second);
  return rows;
}

/// Share of the hits that both precisions have.
double agreement(const Matrix& queries_a, const Matrix& images_a, const Matrix& queries_b,
                 const Matrix& images_b, bool queries_are_images) {
  std::size_t common = 0;
  std::size_t all = 0;
  for (std::size_t row = 0; row < queries_a.rows(); ++row) {
    const std::size_t without = queries_are_images ? row : images_a.rows();
    const std::set<std::size_t> a = best_rows(queries_a.row(row), images_a, without);
    const std::set<std::size_t> b = best_rows(queries_b.row(row), images_b, without);
    all += a.size();
    common += static_cast<std::size_t>(
        std::ranges::count_if(a, [&](std::size_t hit) { return b.contains(hit); }));
  }
  return static_cast<double>(common) / static_cast<double>(all);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"What a precision changes against float32: embeddings and ten best hits."};
  std::string model;
  std::string catalog;
  std::string image_root;
  std::vector<std::string> precisions{"bfloat16"};
  app.add_option("--model", model, "Checkpoint folder")->required();
  app.add_option("--catalog", catalog, "Catalog file")->required();
  app.add_option("--images", image_root, "Folder of its images")->required();
  app.add_option("--precision", precisions, "Precisions to compare with float32")->delimiter(',');
  CLI11_PARSE(app, argc, argv);
  try {
    const Inputs inputs = read_inputs(catalog, image_root);
    const Embeddings exact = encode(model, vitrine::encoder::Precision::kFloat32, inputs);
    fmt::print("{} images, {} distinct captions\n", inputs.images.size(), inputs.texts.size());
    for (const std::string& name : precisions) {
      const Embeddings other = encode(model, vitrine::encoder::parse_precision(name), inputs);
      fmt::print(
          "{}: least cosine of an image {:.6f}, of a text {:.6f}; hits in common: {:.2f} % "
          "of image queries', {:.2f} % of captions'\n",
          name, least_cosine(exact.images, other.images), least_cosine(exact.texts, other.texts),
          100 * agreement(exact.images, exact.images, other.images, other.images, true),
          100 * agreement(exact.texts, exact.images, other.texts, other.images, false));
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
