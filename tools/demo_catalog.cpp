#include "tools/demo_catalog.h"

#include <fmt/format.h>

#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <opencv2/imgcodecs.hpp>

#include "base/error.h"
#include "base/file.h"
#include "tools/garment_painter.h"
#include "tools/prompts.h"

namespace vitrine::tools {
namespace {

constexpr std::uint64_t kTrainSeed = 0x7261696e, kTestSeed = 0x74657374;
constexpr float kPatterned = 0.24f;

// A garment's price range in whole units, in the order of garments().
constexpr std::array<std::array<int, 2>, 10> kPrices{{{12, 35},
                                                      {35, 90},
                                                      {30, 80},
                                                      {40, 150},
                                                      {80, 260},
                                                      {25, 95},
                                                      {28, 85},
                                                      {45, 140},
                                                      {35, 220},
                                                      {70, 210}}};

std::string encode_png(const std::vector<std::uint8_t>& rgb, int size) {
  cv::Mat image(size, size, CV_8UC3);  // OpenCV's order is BGR
  for (std::size_t i = 0; i < rgb.size(); i += 3) {
    std::uint8_t* pixel = image.data + i;
    pixel[0] = rgb[i + 2];
    pixel[1] = rgb[i + 1];
    pixel[2] = rgb[i];
  }
  std::vector<std::uint8_t> bytes;
  if (!cv::imencode(".png", image, bytes)) throw internal_error("cannot encode a PNG image");
  return {bytes.begin(), bytes.end()};
}

/// Without fsync: ten thousand of them would take minutes, and a lost image is made again.
void write_image(const std::filesystem::path& path, const std::string& bytes) {
  const std::filesystem::path unfinished = path.string() + ".part";
  std::ofstream file(unfinished, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) throw resource_exhausted("cannot write " + unfinished.string());
  std::filesystem::rename(unfinished, path);
}

}  // namespace

DemoProduct demo_product(const GarmentPhoto& photo, const std::string& split, int number) {
  Random random(split == "train" ? kTrainSeed : kTestSeed, static_cast<std::uint64_t>(number));
  DemoProduct product;
  product.id = fmt::format("{}-{:05}", split, number);
  product.image = fmt::format("images/{:05}.png", number);
  product.garment = photo.garment;
  product.look = draw_look(random, kPatterned);
  const auto& [low, high] = kPrices.at(photo.garment);
  product.price_cents = 100 * (low + random.below(high - low + 1)) - 5 * random.below(3);
  return product;
}

std::string demo_record(const DemoProduct& product) {
  const nlohmann::ordered_json record{
      {"id", product.id},
      {"image", product.image},
      {"caption", caption({product.garment, product.look.colour, product.look.pattern})},
      {"garment", garments()[product.garment].name},
      {"colour", colours()[product.look.colour].name},
      {"pattern", patterns()[product.look.pattern].name},
      {"background", grounds()[product.look.ground].name},
      {"price", product.price_cents / 100.0}};
  return record.dump();
}

void write_demo_catalog(std::span<const GarmentPhoto> photos, const std::string& split,
                        const std::filesystem::path& folder,
                        const std::function<void(std::size_t)>& progress) {
  std::filesystem::create_directories(folder / "images");
  std::vector<std::uint8_t> rgb(std::size_t(kDemoImageSize) * kDemoImageSize * 3);
  std::string catalog;
  for (std::size_t i = 0; i < photos.size(); ++i) {
    const DemoProduct product = demo_product(photos[i], split, static_cast<int>(i));
    const std::filesystem::path path = folder / product.image;
    if (!std::filesystem::exists(path)) {
      paint(cut_out(photos[i]), product.look, kDemoImageSize, rgb);
      write_image(path, encode_png(rgb, kDemoImageSize));
    }
    catalog += demo_record(product) + "\n";
    progress(i + 1);
  }
  write_file_atomically(folder / "catalog.jsonl", catalog);
}

}  // namespace vitrine::tools
