#include "encoder/image_decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/sha256.h"
#include "tests/encoder/fixtures.h"

namespace vitrine::encoder {
namespace {

std::string digest(const Image& image) {
  return to_hex(sha256({reinterpret_cast<const char*>(image.rgb.data()), image.rgb.size()}));
}

ErrorCode refusal_code(std::string_view bytes, const ImageLimits& limits = {}) {
  try {
    decode_image(bytes, limits);
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "the image is accepted";
  return ErrorCode::kInternal;
}

enum class Expected { kOtherPixels, kRefused };

/// Where the decoder is known not to give Pillow's pixels; docs/encoder.md says why.
const std::map<std::string, Expected> kExceptions = {
    {"cmyk.jpg", Expected::kOtherPixels},    // rounds CMYK to RGB otherwise: off by one
    {"gray16.png", Expected::kOtherPixels},  // keeps the high byte; Pillow clips to white
    {"gray16_small_values.png", Expected::kOtherPixels},
    {"animated.gif", Expected::kRefused},  // OpenCV 4.6 has no GIF decoder
    {"still.gif", Expected::kRefused},
    {"transparent.gif", Expected::kRefused},
};

TEST(ImageDecoder, GivesPillowsPixels) {
  VITRINE_NEED_FIXTURES();
  const nlohmann::json golden = read_json(fixtures() / "preprocess_golden.json");
  std::size_t equal = 0;
  for (const auto& entry : golden["images"]) {
    const auto name = entry["file"].get<std::string>();
    SCOPED_TRACE(name);
    const std::string bytes = read_all(fixtures() / "images" / name);
    const auto exception = kExceptions.find(name);
    if (exception != kExceptions.end() && exception->second == Expected::kRefused) {
      EXPECT_EQ(refusal_code(bytes), ErrorCode::kInvalidArgument);
      continue;
    }
    const Image image = decode_image(bytes);
    EXPECT_EQ(image.width, entry["width"]);
    EXPECT_EQ(image.height, entry["height"]);
    if (exception != kExceptions.end()) continue;
    EXPECT_EQ(digest(image), entry["decoded_rgb_sha256"]);
    ++equal;
  }
  EXPECT_EQ(equal, 43U);
}

TEST(ImageDecoder, KeepsTheHighByteOf16BitGray) {
  VITRINE_NEED_FIXTURES();
  const Image small = decode_image(read_all(fixtures() / "images/gray16_small_values.png"));
  EXPECT_TRUE(std::all_of(small.rgb.begin(), small.rgb.end(), [](int v) { return v == 0; }))
      << "all values are below 256";
}

TEST(ImageDecoder, RefusesBadImages) {
  VITRINE_NEED_FIXTURES();
  const nlohmann::json golden = read_json(fixtures() / "preprocess_golden.json");
  std::size_t refused = 0;
  for (const auto& entry : golden["bad_images"]) {
    const auto name = entry["file"].get<std::string>();
    SCOPED_TRACE(name);
    const std::string bytes = read_all(fixtures() / "images-bad" / name);
    const ErrorCode expected = name == "claims_100000x100000.png" ? ErrorCode::kResourceExhausted
                                                                  : ErrorCode::kInvalidArgument;
    EXPECT_EQ(refusal_code(bytes), expected);
    ++refused;
  }
  EXPECT_EQ(refused, 20U);
}

TEST(ImageDecoder, AppliesTheLimitsBeforeDecoding) {
  VITRINE_NEED_FIXTURES();
  const auto with_limits = [](const char* name, std::uint64_t bytes, std::uint64_t pixels) {
    return refusal_code(read_all(fixtures() / "images" / name), {bytes, pixels});
  };
  EXPECT_EQ(with_limits("exact_224.png", 1000, 1'000'000), ErrorCode::kResourceExhausted);
  for (const char* name :
       {"exact_224.png", "exact_224.jpg", "progressive.jpg", "lossy.webp", "lossless.webp",
        "alpha.webp", "rgb24.bmp", "palette8.bmp", "rgb.tiff", "rgb_lzw.tiff"}) {
    SCOPED_TRACE(name);
    EXPECT_EQ(with_limits(name, 1 << 20, 224 * 224 - 1), ErrorCode::kResourceExhausted);
  }
}

TEST(ImageDecoder, RefusesEveryTruncation) {
  VITRINE_NEED_FIXTURES();
  for (const char* name : {"exact_224.jpg", "progressive.jpg", "black.png", "palette.png",
                           "lossy.webp", "lossless.webp", "palette8.bmp", "rgb_lzw.tiff"}) {
    const std::string bytes = read_all(fixtures() / "images" / name);
    const std::size_t step = std::max<std::size_t>(1, bytes.size() / 61);
    for (std::size_t length = 0; length + 8 < bytes.size(); length += step) {
      SCOPED_TRACE(std::string(name) + " at " + std::to_string(length));
      EXPECT_EQ(refusal_code(std::string_view(bytes).substr(0, length)),
                ErrorCode::kInvalidArgument);
    }
  }
}

/// Whatever a flipped byte does, the answer is an image of the header's size or an Error.
TEST(ImageDecoder, SurvivesFlippedBytes) {
  VITRINE_NEED_FIXTURES();
  for (const char* name : {"upscale_50x40.jpg", "palette_4colours_2bit.png", "lossy.webp",
                           "palette8.bmp", "rgb_lzw.tiff"}) {
    const std::string bytes = read_all(fixtures() / "images" / name);
    for (std::size_t i = 0; i < 120; ++i) {
      std::string damaged = bytes;
      const std::size_t at = i < 60 ? std::min(i, bytes.size() - 1) : (i * 7919) % bytes.size();
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << (i % 8)));
      try {
        const Image image = decode_image(damaged, {1 << 20, 1'000'000});
        EXPECT_EQ(image.rgb.size(), std::size_t(3) * image.width * image.height);
      } catch (const Error& error) {
        EXPECT_NE(error.code(), ErrorCode::kInternal);
      }
    }
  }
}

}  // namespace
}  // namespace vitrine::encoder
