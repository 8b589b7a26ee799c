#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "encoder/encoder.h"
#include "encoder/image_decoder.h"
#include "encoder/image_processor.h"
#include "encoder/safetensors.h"
#include "tests/encoder/fixtures.h"
#include "tests/encoder/tensors.h"

namespace vitrine::encoder {

/// The fixtures' suggested limits on the difference to the reference's float32.
constexpr float kEmbeddingLimit = 5e-5F;
constexpr float kNormalizedLimit = 5e-6F;
constexpr float kLogitLimit = 2e-4F;
constexpr float kProbabilityLimit = 2e-5F;

/// The arithmetic that the reference has.
inline EncoderOptions float32_on_cpu(const std::filesystem::path& checkpoint, int max_batch = 32) {
  return {.model = checkpoint.string(),
          .max_batch = max_batch,
          .precision = Precision::kFloat32,
          .device = Device::kCpu};
}

inline void expect_near(const Matrix& actual, const SafetensorsFile& golden,
                        const std::string& name, float limit) {
  const std::vector<float> expected = read_floats(golden, name);
  ASSERT_EQ(actual.rows() * actual.cols(), expected.size()) << name;
  float largest = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(actual.data()[i] - expected[i]));
    ASSERT_TRUE(std::isfinite(actual.data()[i])) << name;
  }
  EXPECT_LE(largest, limit) << name;
  testing::Test::RecordProperty(name, std::to_string(largest));
  std::printf("  %s: largest difference %.3g\n", name.c_str(), largest);
}

inline Matrix normalized(Matrix matrix) {
  for (std::size_t i = 0; i < matrix.rows(); ++i) {
    double sum = 0;
    for (const float value : matrix.row(i)) sum += double(value) * value;
    for (float& value : matrix.row(i)) value = static_cast<float>(value / std::sqrt(sum));
  }
  return matrix;
}

inline Matrix logits(const Matrix& images, const Matrix& texts, float scale) {
  Matrix result(images.rows(), texts.rows());
  for (std::size_t i = 0; i < images.rows(); ++i) {
    for (std::size_t t = 0; t < texts.rows(); ++t) {
      double dot = 0;
      for (std::size_t c = 0; c < texts.cols(); ++c) {
        dot += double(images.row(i)[c]) * texts.row(t)[c];
      }
      result.row(i)[t] = static_cast<float>(dot * scale);
    }
  }
  return result;
}

inline Matrix softmax(Matrix matrix) {
  for (std::size_t i = 0; i < matrix.rows(); ++i) {
    const auto row = matrix.row(i);
    const float largest = *std::max_element(row.begin(), row.end());
    double sum = 0;
    for (float& value : row) sum += value = std::exp(value - largest);
    for (float& value : row) value = static_cast<float>(value / sum);
  }
  return matrix;
}

/// Less precise arithmetic may turn an embedding by less than this from float32's.
constexpr double kBFloat16Cosine = 0.9995;
constexpr double kInt8Cosine = 0.99;

inline void expect_cosine(const Matrix& actual, const Matrix& float32, double least_allowed,
                          const char* what) {
  const Matrix a = normalized(actual);
  const Matrix b = normalized(float32);
  ASSERT_EQ(a.rows(), b.rows());
  double least = 1;
  for (std::size_t i = 0; i < a.rows(); ++i) {
    double cosine = 0;
    for (std::size_t c = 0; c < a.cols(); ++c) cosine += double(a.row(i)[c]) * b.row(i)[c];
    least = std::min(least, cosine);
  }
  EXPECT_GE(least, least_allowed) << what;
  std::printf("  %s: least cosine %.6f\n", what, least);
}

/// Compares everything the golden file holds under `prefix` ("clip-small-gelu/" or "").
inline void expect_golden(const Encoder& encoder, const Matrix& images, const Matrix& texts,
                          const SafetensorsFile& golden, const std::string& prefix) {
  const Matrix unit_images = normalized(images);
  const Matrix unit_texts = normalized(texts);
  const Matrix scores = logits(unit_images, unit_texts, encoder.logit_scale());
  expect_near(images, golden, prefix + "image_embeds", kEmbeddingLimit);
  expect_near(texts, golden, prefix + "text_embeds", kEmbeddingLimit);
  expect_near(unit_images, golden, prefix + "image_embeds_normalized", kNormalizedLimit);
  expect_near(unit_texts, golden, prefix + "text_embeds_normalized", kNormalizedLimit);
  expect_near(scores, golden, prefix + "logits_per_image", kLogitLimit);
  expect_near(softmax(scores), golden, prefix + "probs", kProbabilityLimit);
}

/// Compares with what the reference computed for a small checkpoint of the fixtures. Its images are
/// preprocessed as that checkpoint says, however the encoder's own would be.
inline void expect_small_golden(const Encoder& encoder, const std::string& checkpoint) {
  const nlohmann::json description = read_json(fixtures() / "clip_small_golden.json");
  const ImageProcessor processor = ImageProcessor::load(fixtures() / checkpoint);
  std::vector<std::string> texts;
  for (const auto& text : description["texts"]) texts.push_back(text["text"]);
  std::vector<Image> images;
  for (const auto& file : description["images"]) {
    const Image image = decode_image(read_all(fixtures() / "images" / file.get<std::string>()));
    images.push_back(processor.resize_and_crop(image));
  }
  expect_golden(encoder, encoder.encode_prepared(images), encoder.encode_texts(texts),
                SafetensorsFile(fixtures() / "clip_small_golden.safetensors"), checkpoint + "/");
}

}  // namespace vitrine::encoder
