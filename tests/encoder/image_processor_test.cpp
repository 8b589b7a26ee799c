#include "encoder/image_processor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "encoder/image_decoder.h"
#include "encoder/safetensors.h"
#include "tests/encoder/fixtures.h"
#include "tests/encoder/tensors.h"

namespace vitrine::encoder {
namespace {

ImageProcessor processor_of(const nlohmann::json& config) {
  const TemporaryDirectory folder;
  std::ofstream(folder.path() / "preprocessor_config.json") << config;
  return ImageProcessor::load(folder.path());
}

std::string digest(const Image& image) {
  return to_hex(sha256({reinterpret_cast<const char*>(image.rgb.data()), image.rgb.size()}));
}

std::string_view bytes_of(const Image& image) {
  return {reinterpret_cast<const char*>(image.rgb.data()), image.rgb.size()};
}

int largest_difference(const Image& image, std::string_view golden) {
  int largest = 0;
  for (std::size_t i = 0; i < image.rgb.size(); ++i) {
    largest = std::max(largest, std::abs(image.rgb[i] - static_cast<std::uint8_t>(golden[i])));
  }
  return largest;
}

/// Files whose pixels do not come out of the decoder as Pillow's (docs/encoder.md), so that what is
/// resized differs: 16-bit gray altogether; GIF is refused.
const std::set<std::string> kNotComparable = {"gray16.png", "gray16_small_values.png",
                                              "animated.gif", "still.gif", "transparent.gif"};

TEST(ImageProcessor, IsBitEqualToPillowOnEveryImage) {
  VITRINE_NEED_FIXTURES();
  const nlohmann::json golden = read_json(fixtures() / "preprocess_golden.json");
  const SafetensorsFile tensors(fixtures() / "preprocess_golden.safetensors");
  const ImageProcessor processor = processor_of(golden["preprocessor_config"]);
  std::size_t equal = 0;
  for (const auto& entry : golden["images"]) {
    const auto name = entry["file"].get<std::string>();
    SCOPED_TRACE(name);
    if (kNotComparable.contains(name)) continue;
    const Image image =
        processor.resize_and_crop(decode_image(read_all(fixtures() / "images" / name)));
    const std::string_view expected = tensors.tensors().at(entry["u8_tensor"]).bytes;
    ASSERT_EQ(image.rgb.size(), expected.size());
    EXPECT_EQ(largest_difference(image, expected), 0);
    EXPECT_EQ(digest(image), entry["u8_sha256"]);
    ++equal;
    if (!entry.contains("pixel_values_tensor")) continue;
    std::vector<float> chw(image.rgb.size());
    processor.normalize(image, chw.data());
    EXPECT_EQ(chw, read_floats(tensors, entry["pixel_values_tensor"]));
  }
  EXPECT_EQ(equal, 44U);
}

TEST(ImageProcessor, IsBitEqualToPillowForOtherSizes) {
  VITRINE_NEED_FIXTURES();
  const nlohmann::json golden = read_json(fixtures() / "preprocess_golden.json");
  const SafetensorsFile tensors(fixtures() / "preprocess_golden.safetensors");
  for (const auto& other : golden["other_configs"]) {
    const ImageProcessor processor = processor_of(other["preprocessor_config"]);
    for (const auto& file : other["files"]) {
      const auto name = file.get<std::string>();
      SCOPED_TRACE(name);
      const Image image =
          processor.resize_and_crop(decode_image(read_all(fixtures() / "images" / name)));
      EXPECT_EQ(bytes_of(image),
                tensors.tensors().at(other["tensor_prefix"].get<std::string>() + name).bytes);
    }
  }
}

TEST(ImageProcessor, ReadsBothFormsOfSizes) {
  for (const char* text :
       {R"({"size": 56, "crop_size": 56})",
        R"({"size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}})",
        R"({"size": {"height": 56, "width": 56}, "do_center_crop": false})"}) {
    const ImageProcessor processor = processor_of(nlohmann::json::parse(text));
    EXPECT_EQ(processor.crop_height(), 56);
    EXPECT_EQ(processor.crop_width(), 56);
    const Image out =
        processor.resize_and_crop({280, 280, std::vector<std::uint8_t>(280 * 280 * 3, 77)});
    EXPECT_EQ(out.rgb, std::vector<std::uint8_t>(56 * 56 * 3, 77));
  }
}

TEST(ImageProcessor, PadsACropThatIsLargerThanTheImage) {
  const ImageProcessor processor = processor_of({{"do_resize", false}, {"crop_size", 3}});
  const Image out = processor.resize_and_crop({1, 2, {1, 2, 3, 4, 5, 6}});
  EXPECT_EQ(out.rgb, (std::vector<std::uint8_t>{0, 0, 0, 0, 0, 0, 0, 0, 0,  //
                                                0, 0, 0, 1, 2, 3, 4, 5, 6,  //
                                                0, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST(ImageProcessor, FollowsTheFlags) {
  const Image image{1, 1, {0, 51, 255}};
  std::array<float, 3> values{};
  processor_of({{"size", 1}, {"crop_size", 1}, {"do_normalize", false}})
      .normalize(image, values.data());
  EXPECT_EQ(values, (std::array<float, 3>{0.0F, 0.2F, 1.0F}));
  processor_of({{"size", 1},
                {"crop_size", 1},
                {"do_rescale", false},
                {"image_mean", {1, 1, 1}},
                {"image_std", {2, 2, 2}}})
      .normalize(image, values.data());
  EXPECT_EQ(values, (std::array<float, 3>{-0.5F, 25.0F, 127.0F}));
}

TEST(ImageProcessor, NamesTheKeyItCannotFollow) {
  const auto refusal = [](const char* text) -> std::string {
    try {
      processor_of(nlohmann::json::parse(text));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  using testing::HasSubstr;
  EXPECT_THAT(refusal(R"({"resample": 2})"), HasSubstr("preprocessor_config.json: resample is 2"));
  EXPECT_THAT(refusal(R"({"size": 0})"), HasSubstr("size is 0"));
  EXPECT_THAT(refusal(R"({"size": 100000})"), HasSubstr("size is 100000"));
  EXPECT_THAT(refusal(R"({"size": "big"})"), HasSubstr("size is \"big\""));
  EXPECT_THAT(refusal(R"({"crop_size": {"height": 3}})"), HasSubstr("crop_size is"));
  EXPECT_THAT(refusal(R"({"do_center_crop": false})"), HasSubstr("do_center_crop is false"));
  EXPECT_THAT(refusal(R"({"do_resize": 1})"), HasSubstr("do_resize is 1"));
  EXPECT_THAT(refusal(R"({"image_std": [1, 0, 1]})"), HasSubstr("image_std is [1,0,1]"));
  EXPECT_THAT(refusal(R"({"image_mean": [1]})"), HasSubstr("image_mean is [1]"));
  EXPECT_THAT(refusal("[]"), HasSubstr("not a JSON object"));
  std::string numbers = "0";
  for (int i = 0; i < 100'000; ++i) numbers += ",0";
  EXPECT_LT(refusal((R"({"crop_size": [)" + numbers + "]}").c_str()).size(), 500U);
}

TEST(ImageProcessor, RefusesAnEmptyImage) {
  const ImageProcessor processor = processor_of(nlohmann::json::object());
  EXPECT_THROW(processor.resize_and_crop({}), Error);
  EXPECT_THROW(processor.resize_and_crop({2, 2, {1, 2, 3}}), Error);
}

}  // namespace
}  // namespace vitrine::encoder
