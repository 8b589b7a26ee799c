#include "support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <opencv2/imgcodecs.hpp>
#include <random>

namespace vitrine::engine {
namespace {

struct Rgb {
  int r, g, b;
};

const std::map<std::string, Rgb>& palette() {
  static const std::map<std::string, Rgb> kPalette = {{"red", {220, 20, 20}},
                                                      {"green", {20, 220, 20}},
                                                      {"blue", {20, 20, 220}},
                                                      {"grey", {120, 120, 120}}};
  return kPalette;
}

}  // namespace

Matrix ColourEncoder::encode_images(std::span<const encoder::Image> images) const {
  if (calls->before_images) calls->before_images();
  calls->images += static_cast<int>(images.size());
  Matrix result(images.size(), kDimension);
  for (std::size_t i = 0; i < images.size(); ++i) {
    const auto row = result.row(i);
    const std::vector<std::uint8_t>& rgb = images[i].rgb;
    const std::size_t pixels = rgb.size() / 3;
    for (std::size_t pixel = 0; pixel < pixels; ++pixel) {
      for (std::size_t channel = 0; channel < 3; ++channel) {
        const float value = static_cast<float>(rgb[3 * pixel + channel]) / 255.0F;
        row[channel] += value / static_cast<float>(pixels);
        row[4 + 4 * pixel / pixels] += 0.2F * value / static_cast<float>(pixels);
      }
    }
  }
  return result;
}

encoder::TokenizedText ColourEncoder::tokenize(std::string_view text) const {
  const std::string_view read = text.substr(0, kContextLength);
  return {{read.begin(), read.end()}, text.size() > kContextLength};
}

Matrix ColourEncoder::encode_tokenized(std::span<const encoder::TokenizedText> texts) const {
  calls->texts += static_cast<int>(texts.size());
  Matrix result(texts.size(), kDimension);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto row = result.row(i);
    row[3] = 0.05F;
    for (const auto& [name, colour] : palette()) {
      if (std::ranges::search(texts[i].ids, name).empty()) continue;
      row[0] = static_cast<float>(colour.r) / 255.0F;
      row[1] = static_cast<float>(colour.g) / 255.0F;
      row[2] = static_cast<float>(colour.b) / 255.0F;
    }
  }
  return result;
}

const std::vector<std::string>& colours() {
  static const std::vector<std::string> kColours = {"red", "green", "blue", "grey"};
  return kColours;
}

std::string colour_png(const std::string& colour, int seed, int size) {
  const Rgb base = palette().at(colour);
  cv::Mat image(size, size, CV_8UC3);
  std::minstd_rand random(static_cast<unsigned>(seed) + 1);
  std::uniform_int_distribution<int> noise(-15, 15);
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      image.at<cv::Vec3b>(y, x) = {static_cast<std::uint8_t>(base.b + noise(random)),
                                   static_cast<std::uint8_t>(base.g + noise(random)),
                                   static_cast<std::uint8_t>(base.r + noise(random))};
    }
  }
  std::vector<std::uint8_t> bytes;
  cv::imencode(".png", image, bytes);
  return {bytes.begin(), bytes.end()};
}

TestCatalog::TestCatalog(int count, int first_seed) {
  std::filesystem::create_directory(images());
  for (int i = 0; i < count; ++i) {
    put("p" + std::to_string(i), colours()[static_cast<std::size_t>(i) % colours().size()],
        first_seed + i);
  }
  write();
}

void TestCatalog::put(const std::string& id, const std::string& colour, int seed) {
  put_bytes(id, colour_png(colour, seed));
  for (nlohmann::json& record : records_) {
    if (record["id"] != id) continue;
    record["caption"] = "a " + colour + " shirt";
    record["colour"] = colour;
    record["price"] = seed;
  }
}

void TestCatalog::put_bytes(const std::string& id, const std::string& image_bytes) {
  remove(id);
  std::ofstream(images() / (id + ".png"), std::ios::binary) << image_bytes;
  records_.push_back({{"id", id}, {"image", id + ".png"}, {"caption", "a shirt"}});
}

void TestCatalog::set_caption(const std::string& id, const std::string& caption) {
  for (nlohmann::json& record : records_) {
    if (record["id"] == id) record["caption"] = caption;
  }
}

void TestCatalog::remove(const std::string& id) {
  std::erase_if(records_.get_ref<nlohmann::json::array_t&>(),
                [&](const nlohmann::json& record) { return record["id"] == id; });
}

void TestCatalog::append(const nlohmann::json& record) { records_.push_back(record); }

void TestCatalog::write() const { std::ofstream(file()) << records_.dump(1); }

IndexRequest TestCatalog::request(const std::string& name, const std::string& kind) const {
  IndexRequest request;
  request.name = name;
  request.catalog_file = file();
  request.image_source.location = images();
  request.index.kind = kind;
  return request;
}

EngineOptions options_in(const std::filesystem::path& data_dir, int max_batch) {
  EngineOptions options;
  options.data_dir = data_dir;
  options.encoder.max_batch = max_batch;
  options.encoder.threads = 1;
  options.decode_threads = 2;
  options.query_cache_mb = 0;  // the tests count what reaches the encoder
  return options;
}

TestEngine::TestEngine(const std::filesystem::path& data_dir, char fingerprint,
                       std::function<void()> before_images, int keep_generations,
                       const std::function<void(EngineOptions&)>& change) {
  auto encoder = std::make_unique<ColourEncoder>(fingerprint);
  calls = encoder->calls;
  calls->before_images = std::move(before_images);
  EngineOptions options = options_in(data_dir);
  options.keep_generations = keep_generations;
  if (change) change(options);
  engine = std::make_unique<Engine>(options, std::move(encoder));
}

SearchRequest text_search(const std::string& text, int limit) {
  SearchRequest request;
  request.catalog = "shop";
  request.text = text;
  request.limit = limit;
  return request;
}

std::vector<std::string> ids_of(const SearchResponse& response) {
  std::vector<std::string> ids;
  for (const Hit& hit : response.hits) ids.push_back(hit.product.id);
  return ids;
}

void damage(const std::filesystem::path& file) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  const auto middle = static_cast<std::streamoff>(std::filesystem::file_size(file) / 2);
  stream.seekg(middle);
  const char byte = static_cast<char>(stream.get());
  stream.seekp(middle);
  stream.put(static_cast<char>(byte ^ 0x10));
}

Thrown thrown_by(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace vitrine::engine
