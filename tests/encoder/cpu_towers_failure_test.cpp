// What a batch that fails, or an image that overflows, leaves to the others.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <functional>
#include <new>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "encoder/cpu/cpu_towers.h"
#include "tests/failing_allocation.h"

namespace vitrine::encoder::cpu {
namespace {

ClipConfig small_config() {
  ClipConfig config;
  config.text = {{32, 64, 2, 2, 1e-5, Activation::kQuickGelu}, 100, 20, 99};
  config.text.start_token_id = 98;
  config.vision = {{48, 96, 2, 2, 1e-5, Activation::kQuickGelu}, 3, 16, 8};
  config.projection_dim = 24;
  return config;
}

/// Adds what is near the largest float to the first column of all rows of an image, and a third of
/// that times how bright a patch is: it overflows where that is bright.
void let_bright_images_overflow(const ClipConfig& config, const std::string& name,
                                std::span<float> values) {
  const auto width = static_cast<std::size_t>(config.vision.tower.width);
  if (name == "vision_model.embeddings.position_embedding.weight") {
    for (std::size_t i = 0; i < values.size(); i += width) values[i] = 3e38F;
  }
  if (name == "vision_model.embeddings.patch_embedding.weight") {
    const std::size_t inputs = values.size() / width;
    std::ranges::fill(values.first(inputs), 1e38F / static_cast<float>(inputs));
  }
}

/// Of random weights.
std::unique_ptr<ClipTowers> make_towers(const ClipConfig& config, Precision precision, int threads,
                                        bool bright_images_overflow = false) {
  const TemporaryDirectory folder;
  const std::string size = std::to_string(config.vision.image_size);
  std::ofstream(folder.path() / "preprocessor_config.json")
      << "{\"size\": " << size << ", \"crop_size\": " << size
      << R"(, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]})";
  const auto read_weight = [&](const std::string& name, std::span<float> values) {
    std::mt19937 random(static_cast<unsigned>(std::hash<std::string>()(name)));
    std::normal_distribution<float> normal;
    const bool norm_scale = name.find("norm") != std::string::npos && name.ends_with("weight");
    for (float& value : values) value = (norm_scale ? 1.0F : 0.0F) + 0.2F * normal(random);
    if (bright_images_overflow) let_bright_images_overflow(config, name, values);
  };
  return make_cpu_towers(config, ImageProcessor::load(folder.path()), read_weight, precision,
                         fastest_kernel_set(), threads);
}

Image image_of(const ClipConfig& config, const std::function<int()>& pixel) {
  Image image;
  image.width = image.height = static_cast<int>(config.vision.image_size);
  image.rgb.resize(static_cast<std::size_t>(image.width * image.height * 3));
  for (std::uint8_t& byte : image.rgb) byte = static_cast<std::uint8_t>(pixel());
  return image;
}

bool same(const Matrix& a, const Matrix& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() &&
         std::equal(a.data(), a.data() + a.rows() * a.cols(), b.data());
}

constexpr Precision kAll[] = {Precision::kFloat32, Precision::kBFloat16, Precision::kInt8};

/// Lets one allocation after the other of a batch fail, each of a model's first, and expects the
/// batch after it to be as ever.
void expect_no_trace_of_failures(const std::function<Matrix(ClipTowers& towers)>& encode) {
  for (const Precision precision : kAll) {
    // Two, and more than there are cores to run on, where they leave each other's.
    for (const int threads : {2, 5}) {
      const Matrix expected = encode(*make_towers(small_config(), precision, threads));
      int failures = 0;
      for (bool failed = true; failed;) {
        const auto towers = make_towers(small_config(), precision, threads);
        failed = false;
        try {
          const FailingAllocation failing(FailingAllocation::Of::kAllThreads, failures + 1);
          encode(*towers);
        } catch (const std::bad_alloc&) {
          failed = true;
        }
        failures += failed ? 1 : 0;
        ASSERT_TRUE(same(encode(*towers), expected))
            << to_string(precision) << " on " << threads << " threads, allocation " << failures;
      }
      EXPECT_GT(failures, 10);
    }
  }
}

TEST(CpuTowersFailure, OfABatchOfImagesLeavesNoTrace) {
  std::mt19937 random(1);
  const std::vector<Image> images(
      3, image_of(small_config(), [&] { return static_cast<int>(random() % 256); }));
  expect_no_trace_of_failures([&](ClipTowers& towers) { return towers.encode_images(images); });
}

TEST(CpuTowersFailure, OfABatchOfTextsLeavesNoTrace) {
  const std::vector<std::vector<std::int32_t>> texts = {
      {98, 5, 6, 99}, {98, 5, 7, 99}, {98, 1, 2, 3, 4, 99}};
  expect_no_trace_of_failures([&](ClipTowers& towers) { return towers.encode_texts(texts); });
}

TEST(CpuTowersFailure, OfOneImageToBeFiniteChangesNoOther) {
  ClipConfig attention = small_config();
  attention.text.pooling = TextPooling::kLastPosition;
  attention.vision.pooling = ImagePooling::kAttention;
  attention.projection_dim = attention.vision.tower.width;
  attention.logit_bias = true;
  for (const ClipConfig& config : {small_config(), attention}) {
    const Image white = image_of(config, [] { return 255; });
    const Image black = image_of(config, [] { return 0; });
    for (const Precision precision : kAll) {
      const auto towers = make_towers(config, precision, 1, true);
      const Matrix alone = towers->encode_images({&black, 1});
      ASSERT_TRUE(std::isfinite(alone.row(0)[0]));
      const std::vector<Image> images = {white, black, white};
      const Matrix all = towers->encode_images(images);
      EXPECT_FALSE(std::isfinite(all.row(0)[0])) << to_string(precision);
      EXPECT_TRUE(std::ranges::equal(all.row(1), alone.row(0))) << to_string(precision);
    }
  }
}

}  // namespace
}  // namespace vitrine::encoder::cpu
