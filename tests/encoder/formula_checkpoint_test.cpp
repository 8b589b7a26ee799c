#include "tests/encoder/formula_checkpoint.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "encoder/encoder.h"
#include "encoder/image_decoder.h"
#include "encoder/safetensors.h"
#include "tests/encoder/fixtures.h"
#include "tests/encoder/golden_embeddings.h"
#include "tests/encoder/tensors.h"

namespace vitrine::encoder {
namespace {

TEST(FormulaCheckpoint, OfFullSizeAgreesWithTheReference) {
  VITRINE_NEED_FIXTURES();
  const std::filesystem::path source = fixtures() / "vit-b-32-formula";
  const SafetensorsFile golden(source / "expected.safetensors");
  const nlohmann::json expected = read_json(source / "expected.json");
  const TemporaryDirectory folder;
  make_formula_checkpoint(folder.path(), fixtures());
  {
    const SafetensorsFile weights(folder.path() / "model.safetensors");
    for (const auto& [name, check] : expected["weights_to_check"].items()) {
      const std::vector<float> values = read_floats(weights, name);
      EXPECT_EQ(std::vector<float>(values.begin(), values.begin() + 8),
                read_floats(golden, "first8/" + name));
      double sum = 0;
      for (const float value : values) sum += value;
      EXPECT_EQ(sum, check["sum_float64"].get<double>()) << name;
    }
  }

  const auto encoder = load_encoder(float32_on_cpu(folder.path(), 8));
  EXPECT_EQ(encoder->info().parameters, expected["n_parameters"].get<std::int64_t>());
  std::vector<std::string> texts;
  for (const auto& text : expected["texts"]) texts.push_back(text["text"]);
  std::vector<Image> images;
  for (const auto& file : expected["images"]) {
    images.push_back(decode_image(read_all(fixtures() / "images" / file.get<std::string>())));
  }
  const Matrix image_embeddings = encoder->encode_images(images);
  const Matrix text_embeddings = encoder->encode_texts(texts);
  expect_golden(*encoder, image_embeddings, text_embeddings, golden, "");

  for (const auto& [precision, cosine] :
       {std::pair{Precision::kBFloat16, kBFloat16Cosine}, {Precision::kInt8, kInt8Cosine}}) {
    const auto rounded = load_encoder({.model = folder.path().string(),
                                       .max_batch = 8,
                                       .precision = precision,
                                       .device = Device::kCpu});
    expect_cosine(rounded->encode_images(images), image_embeddings, cosine, "images");
    expect_cosine(rounded->encode_texts(texts), text_embeddings, cosine, "texts");
  }
}

}  // namespace
}  // namespace vitrine::encoder
