#include "encoder/cpu/cpu_towers.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <mutex>
#include <random>
#include <span>

#include "base/error.h"
#include "base/file.h"
#include "encoder/torch/clip_model.h"

namespace vitrine::encoder::cpu {
namespace {

/// Of the token that texts begin with.
constexpr std::int32_t kStart = 98;
/// Of the token that SigLIP's texts are filled up with.
constexpr std::int32_t kPad = 1;

/// A model of random weights, as LibTorch and as the CPU path compute it.
class RandomModel {
 public:
  explicit RandomModel(const ClipConfig& config) : config_(config), weights_(make_weights(config)) {
    config_.text.start_token_id = kStart;
    config_.text.pad_token_id = kPad;
  }

  std::unique_ptr<ClipTowers> on_cpu(Precision precision, KernelSet set, int threads) const {
    const TemporaryDirectory folder;
    std::ofstream(folder.path() / "preprocessor_config.json")
        << "{\"size\": " << config_.vision.image_size
        << ", \"crop_size\": " << config_.vision.image_size << "}";
    const ImageProcessor processor = ImageProcessor::load(folder.path());
    return make_cpu_towers(
        config_, processor,
        [this](const std::string& name, std::span<float> values) {
          const at::Tensor& tensor = weights_.at(name);
          ASSERT_EQ(static_cast<std::size_t>(tensor.numel()), values.size()) << name;
          std::copy_n(tensor.data_ptr<float>(), values.size(), values.begin());
        },
        precision, set, threads);
  }

  Matrix reference_images(const std::vector<Image>& images) const {
    const std::int64_t size = config_.vision.image_size;
    at::Tensor pixels = torch::empty({static_cast<std::int64_t>(images.size()), size, size, 3});
    float* out = pixels.data_ptr<float>();
    const float mean[] = {0.48145466F, 0.4578275F, 0.40821073F};
    const float deviation[] = {0.26862954F, 0.26130258F, 0.27577711F};
    for (const Image& image : images) {
      for (std::size_t i = 0; i < image.rgb.size(); ++i) {
        *out++ = (static_cast<float>(image.rgb[i]) / 255.0F - mean[i % 3]) / deviation[i % 3];
      }
    }
    return to_matrix(model().encode_images(pixels.permute({0, 3, 1, 2}).contiguous()));
  }
  Matrix reference_text(const std::vector<std::int32_t>& ids) const {
    at::Tensor tensor = torch::empty({1, static_cast<std::int64_t>(ids.size())}, torch::kInt64);
    std::ranges::copy(ids, tensor.data_ptr<std::int64_t>());
    return to_matrix(model().encode_texts(tensor));
  }

 private:
  static WeightMap make_weights(const ClipConfig& config) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    WeightMap weights;
    for (const auto& [name, shape] : expected_weights(config)) {
      at::Tensor tensor = torch::empty(shape, torch::kFloat32);
      const bool norm_scale = name.find("norm") != std::string::npos && name.ends_with("weight");
      const auto inputs = static_cast<float>(shape.size() > 1 ? tensor.numel() / shape[0] : 16);
      for (std::int64_t i = 0; i < tensor.numel(); ++i) {
        tensor.data_ptr<float>()[i] =
            (norm_scale ? 1.0F : 0.0F) + normal(random) / std::sqrt(inputs);
      }
      weights.emplace(name, std::move(tensor));
    }
    return weights;
  }
  ClipModel model() const { return {config_, weights_}; }
  static Matrix to_matrix(const at::Tensor& tensor) {
    const at::Tensor values = tensor.contiguous();
    Matrix matrix(static_cast<std::size_t>(values.size(0)),
                  static_cast<std::size_t>(values.size(1)));
    std::copy_n(values.data_ptr<float>(), values.numel(), matrix.data());
    return matrix;
  }

  ClipConfig config_;
  WeightMap weights_;
};

double cosine(std::span<const float> a, std::span<const float> b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

struct Way {
  Precision precision;
  KernelSet set;
  int threads;
};

double least_cosine(const Way& way) {
  switch (way.precision) {
    case Precision::kInt8:
      return 0.99;
    case Precision::kBFloat16:
      return kernels(way.set).bf16_products ? 0.9995
                                            : 0.999999;  // the latter: block floating point
    default:
      return 0.9999999;
  }
}

void expect_agreement(const Matrix& actual, const Matrix& expected, const Way& way,
                      const std::string& what) {
  ASSERT_EQ(actual.rows(), expected.rows());
  ASSERT_EQ(actual.cols(), expected.cols());
  for (std::size_t row = 0; row < actual.rows(); ++row) {
    EXPECT_GE(cosine(actual.row(row), expected.row(row)), least_cosine(way))
        << what << ", row " << row;
    if (way.precision != Precision::kFloat32) continue;
    for (std::size_t c = 0; c < actual.cols(); ++c) {
      EXPECT_NEAR(actual.row(row)[c], expected.row(row)[c], 2e-5F) << what << ", row " << row;
    }
  }
}

/// Sizes that fill vectors, tiles and panels, sizes that do not, and sizes of more than one part:
/// more inputs than a panel is multiplied with at once, more rows than queries of a head are taken
/// together, a head of more columns than a panel.
std::vector<ClipConfig> configs() {
  ClipConfig even;
  even.text = {{64, 256, 3, 2, 1e-5, Activation::kQuickGelu}, 100, 77, 99};
  even.vision = {{96, 384, 2, 3, 1e-5, Activation::kQuickGelu}, 3, 32, 8};
  even.projection_dim = 64;
  ClipConfig odd;
  odd.text = {{36, 70, 2, 4, 1e-5, Activation::kGelu}, 100, 20, 2};
  odd.vision = {{30, 50, 3, 5, 1e-6, Activation::kGelu}, 3, 45, 7};
  odd.projection_dim = 19;
  ClipConfig large;
  large.text = {{72, 1100, 2, 1, 1e-5, Activation::kQuickGelu}, 100, 20, 99};
  large.vision = {{144, 1100, 2, 2, 1e-5, Activation::kQuickGelu}, 3, 40, 4};
  large.projection_dim = 40;
  // Heads of several groups of whole blocks, the last of them smaller; three fc1 panels left over.
  ClipConfig grouped;
  grouped.text = {{160, 600, 2, 10, 1e-5, Activation::kQuickGelu}, 100, 20, 99};
  grouped.vision = {{160, 600, 2, 10, 1e-5, Activation::kQuickGelu}, 3, 40, 8};
  grouped.projection_dim = 40;
  return {even, odd, large, grouped};
}

/// SigLIP's: padded texts, attention pooling.
std::vector<ClipConfig> siglip_configs() {
  std::vector<ClipConfig> all = configs();
  for (ClipConfig& config : all) {
    config.text.pooling = TextPooling::kLastPosition;
    config.vision.pooling = ImagePooling::kAttention;
    config.text.tower.activation = Activation::kGeluTanh;
    config.vision.tower.activation = Activation::kGeluTanh;
    config.projection_dim = config.vision.tower.width;
    config.logit_bias = true;
  }
  return all;
}

std::vector<Way> ways() {
  std::vector<Way> all;
  for (const KernelSet set : supported_kernel_sets()) {
    for (const Precision precision :
         {Precision::kFloat32, Precision::kBFloat16, Precision::kInt8}) {
      // Some share every layer up to four.
      for (const int threads : {1, 3, 5}) all.push_back({precision, set, threads});
    }
  }
  return all;
}

std::string name_of(const Way& way) {
  return std::string(to_string(way.set)) + " " + std::string(to_string(way.precision)) + " on " +
         std::to_string(way.threads) + " threads";
}

std::vector<Image> random_images(const ClipConfig& config, std::size_t count,
                                 std::mt19937& random) {
  std::vector<Image> images(count);
  for (Image& image : images) {
    image.width = image.height = static_cast<int>(config.vision.image_size);
    image.rgb.resize(static_cast<std::size_t>(image.width * image.height * 3));
    for (std::uint8_t& byte : image.rgb) byte = static_cast<std::uint8_t>(random());
  }
  return images;
}

void expect_images_agree(const std::vector<ClipConfig>& configs) {
  std::mt19937 random(3);
  for (const ClipConfig& config : configs) {
    const RandomModel random_model(config);
    const std::vector<Image> images = random_images(config, 20, random);
    const Matrix expected = random_model.reference_images(images);
    for (const Way& way : ways()) {
      const auto model = random_model.on_cpu(way.precision, way.set, way.threads);
      expect_agreement(model->encode_images(images), expected, way, name_of(way));
      Matrix first(1, expected.cols());
      std::ranges::copy(expected.row(0), first.row(0).begin());
      expect_agreement(model->encode_images({images.data(), 1}), first, way,
                       name_of(way) + ", one");
    }
  }
}

TEST(CpuTowers, EncodesImagesAsLibTorchDoes) { expect_images_agree(configs()); }

TEST(CpuTowers, PoolsImagesByAttentionAsLibTorchDoes) { expect_images_agree(siglip_configs()); }

TEST(CpuTowers, PadsTextsThatAreNotCausalAsLibTorchDoes) {
  std::mt19937 random(6);
  for (const ClipConfig& config : siglip_configs()) {
    const RandomModel random_model(config);
    const int context = static_cast<int>(config.text.context_length);
    std::vector<std::vector<std::int32_t>> texts;
    for (const int length : {1, 2, 9, context - 1, context}) {
      std::vector<std::int32_t> ids(static_cast<std::size_t>(length), kPad);
      for (std::size_t i = 0; i + 1 < ids.size(); ++i)
        ids[i] = static_cast<std::int32_t>(random() % 98);
      texts.push_back(std::move(ids));
    }
    for (const Way& way : ways()) {
      const auto model = random_model.on_cpu(way.precision, way.set, way.threads);
      const Matrix all = model->encode_texts(texts);
      for (std::size_t i = 0; i < texts.size(); ++i) {
        const Matrix expected = random_model.reference_text(texts[i]);
        Matrix one(1, all.cols());
        std::ranges::copy(all.row(i), one.row(0).begin());
        const std::string what = name_of(way) + ", text " + std::to_string(i);
        expect_agreement(one, expected, way, what);
        expect_agreement(model->encode_texts({&texts[i], 1}), expected, way, what + ", alone");
      }
    }
  }
}

TEST(CpuTowers, EncodesTextsOfAnyLengthsAsLibTorchDoes) {
  std::mt19937 random(5);
  for (const ClipConfig& config : configs()) {
    const RandomModel random_model(config);
    const int context = static_cast<int>(config.text.context_length);
    std::vector<std::vector<std::int32_t>> texts;
    for (int i = 0; i < 60; ++i) {
      std::vector<std::int32_t> ids(static_cast<std::size_t>(2 + i % (context - 1)));
      for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random() % 98);
      if (i % 5 != 0) ids[0] = kStart;
      ids.back() = 99;
      if (i % 7 == 0)
        ids[ids.size() / 2] = 99;  // what stands behind the first end token is ignored
      texts.push_back(std::move(ids));
    }
    for (const Way& way : ways()) {
      const auto model = random_model.on_cpu(way.precision, way.set, way.threads);
      const Matrix all = model->encode_texts(texts);
      const Matrix one = model->encode_texts({&texts[20], 1});
      for (std::size_t i = 0; i < texts.size(); ++i) {
        Matrix actual(1, all.cols());
        std::ranges::copy(all.row(i), actual.row(0).begin());
        const Matrix expected = random_model.reference_text(texts[i]);
        expect_agreement(actual, expected, way, name_of(way));
        if (i == 20) expect_agreement(one, expected, way, name_of(way) + ", one");
      }
    }
  }
}

TEST(CpuTowers, EncodesATextToTheSameBitsAloneAndAmongOthers) {
  std::mt19937 random(13);
  for (const ClipConfig& config : configs()) {
    const RandomModel random_model(config);
    const int context = static_cast<int>(config.text.context_length);
    // Of few tokens, so that many begin alike and some are equal.
    std::vector<std::vector<std::int32_t>> texts;
    for (int i = 0; i < 90; ++i) {
      std::vector<std::int32_t> ids(2 +
                                    random() % static_cast<unsigned>(i % 4 == 0 ? context - 1 : 7));
      for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random() % 3);
      if (i % 9 != 0) ids[0] = kStart;
      ids.back() = 99;
      texts.push_back(std::move(ids));
    }
    for (const Way& way : ways()) {
      const auto model = random_model.on_cpu(way.precision, way.set, way.threads);
      const Matrix all = model->encode_texts(texts);
      for (std::size_t i = 0; i < texts.size(); i += 5) {
        const Matrix one = model->encode_texts({&texts[i], 1});
        ASSERT_TRUE(std::ranges::equal(one.row(0), all.row(i))) << name_of(way) << ", text " << i;
      }
    }
  }
}

TEST(CpuTowers, EncodesATextToTheSameBitsWhateverItRemembers) {
  std::mt19937 random(17);
  for (const ClipConfig& config : configs()) {
    const RandomModel random_model(config);
    // Of more beginnings than are remembered, some of them longer.
    std::vector<std::vector<std::int32_t>> texts;
    for (int i = 0; i < 400; ++i) {
      std::vector<std::int32_t> ids(
          3 + random() % static_cast<unsigned>(i % 20 == 0 ? config.text.context_length - 2 : 4));
      for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random() % 12);
      if (i % 9 != 0) ids[0] = kStart;
      ids.back() = 99;
      texts.push_back(std::move(ids));
    }
    for (const Way& way : ways()) {
      // Nothing is known of texts before the first.
      const Matrix expected =
          random_model.on_cpu(way.precision, way.set, way.threads)->encode_texts(texts);
      const auto model = random_model.on_cpu(way.precision, way.set, way.threads);
      for (int batch = 0; batch < 32; ++batch) {
        const std::size_t count = batch % 16 == 15 ? texts.size() : 1 + random() % 6;
        const std::size_t first = random() % (texts.size() - count + 1);
        const Matrix some = model->encode_texts({&texts[first], count});
        for (std::size_t i = 0; i < count; ++i) {
          ASSERT_TRUE(std::ranges::equal(some.row(i), expected.row(first + i)))
              << name_of(way) << ", text " << first + i << " of batch " << batch;
        }
      }
    }
  }
}

TEST(CpuTowers, EndsATextAtItsEndTokenWithoutChangingItsEmbedding) {
  std::mt19937 random(11);
  for (const ClipConfig& config : configs()) {
    const RandomModel random_model(config);
    const auto model = random_model.on_cpu(Precision::kFloat32, fastest_kernel_set(), 1);
    const int context = static_cast<int>(config.text.context_length);
    for (int length = 2; length < context; ++length) {
      std::vector<std::int32_t> ids(static_cast<std::size_t>(length));
      for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random() % 98);
      ids[0] = kStart;
      ids.back() = 99;
      const std::vector<std::vector<std::int32_t>> text{ids};
      const Matrix actual = model->encode_texts(text);
      ids.resize(static_cast<std::size_t>(context), 99);  // as the reference pads
      const Matrix padded = random_model.reference_text(ids);
      for (std::size_t c = 0; c < actual.cols(); ++c) {
        EXPECT_NEAR(actual.row(0)[c], padded.row(0)[c], 3e-6F) << length << " tokens";
      }
    }
  }
}

/// Gives images out in their order and keeps their embeddings.
class ImagesInOrder : public ImageFeed {
 public:
  ImagesInOrder(std::span<const Image> images, std::size_t columns)
      : images_(images), embeddings_(images.size(), columns) {}

  Piece take(std::size_t most) override {
    const std::lock_guard lock(mutex_);
    if (taken_ == fail_at_) throw internal_error("no more of them");
    const auto some = images_.subspan(taken_, std::min(most, images_.size() - taken_));
    Piece piece{.images = {some.begin(), some.end()}, .number = taken_};
    taken_ += some.size();
    most_ = std::max(most_, some.size());
    return piece;
  }
  void give(const Piece& piece, const Matrix& embeddings) override {
    ASSERT_EQ(embeddings.rows(), piece.images.size());
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < embeddings.rows(); ++i) {
      std::ranges::copy(embeddings.row(i), embeddings_.row(piece.number + i).begin());
    }
    given_ += embeddings.rows();
  }

  void fail_at(std::size_t taken) { fail_at_ = taken; }
  const Matrix& embeddings() const { return embeddings_; }
  std::size_t given() const { return given_; }
  /// The largest piece.
  std::size_t most() const { return most_; }

 private:
  const std::span<const Image> images_;
  std::size_t fail_at_ = static_cast<std::size_t>(-1);
  std::mutex mutex_;
  Matrix embeddings_;
  std::size_t taken_ = 0;
  std::size_t given_ = 0;
  std::size_t most_ = 0;
};

TEST(CpuTowers, EncodesFromAFeedWhatItEncodesInABatch) {
  std::mt19937 random(13);
  const RandomModel random_model(configs()[0]);
  const std::vector<Image> images = random_images(configs()[0], 200, random);
  for (const int threads : {1, 2, 3}) {
    const auto model = random_model.on_cpu(Precision::kFloat32, fastest_kernel_set(), threads);
    const Matrix all = model->encode_images(images);
    for (const std::size_t most : {1, 3, 1000}) {
      ImagesInOrder feed(images, all.cols());
      model->encode_images_from(feed, most);
      ASSERT_EQ(feed.given(), images.size());
      EXPECT_LE(feed.most(), most);
      for (std::size_t i = 0; i < images.size(); ++i) {
        ASSERT_TRUE(std::ranges::equal(feed.embeddings().row(i), all.row(i)))
            << threads << " threads, image " << i;
      }
    }
    ImagesInOrder nothing({}, all.cols());
    model->encode_images_from(nothing, 8);
    EXPECT_EQ(nothing.given(), 0U);
  }
}

TEST(CpuTowers, TellsOfAFeedThatFails) {
  std::mt19937 random(14);
  const RandomModel random_model(configs()[0]);
  const std::vector<Image> images = random_images(configs()[0], 12, random);
  for (const int threads : {1, 3}) {
    const auto model = random_model.on_cpu(Precision::kFloat32, fastest_kernel_set(), threads);
    ImagesInOrder feed(images, static_cast<std::size_t>(configs()[0].projection_dim));
    feed.fail_at(6);
    EXPECT_THROW(model->encode_images_from(feed, 2), Error);
    EXPECT_EQ(feed.given(), 6U);
    EXPECT_EQ(model->encode_images(images).rows(), images.size());
  }
}

TEST(CpuTowers, EncodesNothing) {
  const auto model = RandomModel(configs()[0]).on_cpu(Precision::kFloat32, KernelSet::kPortable, 1);
  EXPECT_EQ(model->encode_images({}).rows(), 0U);
  EXPECT_EQ(model->encode_texts({}).rows(), 0U);
}

}  // namespace
}  // namespace vitrine::encoder::cpu
