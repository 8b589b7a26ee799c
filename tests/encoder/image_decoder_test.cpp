#include "encoder/image_decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <thread>
#include <utility>

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

using Pixel = std::array<std::uint8_t, 3>;

Pixel pixel(const Image& image, int y, int x) {
  const std::uint8_t* rgb =
      &image.rgb[(static_cast<std::size_t>(y) * image.width + static_cast<std::size_t>(x)) * 3];
  return {rgb[0], rgb[1], rgb[2]};
}

/// A stored picture as EXIF defines that it is to be shown.
Image shown(const Image& stored, int orientation) {
  const int last_row = stored.height - 1;
  const int last_column = stored.width - 1;
  Image image{stored.height, stored.width, {}};
  if (orientation >= 5) std::swap(image.height, image.width);
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const std::array<std::pair<int, int>, 8> sources = {{{y, x},
                                                           {y, last_column - x},
                                                           {last_row - y, last_column - x},
                                                           {last_row - y, x},
                                                           {x, y},
                                                           {last_row - x, y},
                                                           {last_row - x, last_column - y},
                                                           {x, last_column - y}}};
      const auto [row, column] = sources.at(static_cast<std::size_t>(orientation - 1));
      const Pixel source = pixel(stored, row, column);
      image.rgb.insert(image.rgb.end(), source.begin(), source.end());
    }
  }
  return image;
}

std::string little_endian(std::uint32_t value, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes.push_back(static_cast<char>(value >> (8 * i)));
  return bytes;
}

std::string big_endian(std::uint32_t value, int count) {
  std::string bytes = little_endian(value, count);
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

std::string from_hex(std::string_view digits) {
  std::string bytes;
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

/// One directory with one entry.
std::string exif_block(int orientation, bool big) {
  const auto integer = big ? big_endian : little_endian;
  return (big ? "MM" : "II") + integer(42, 2) + integer(8, 4) + integer(1, 2) + integer(0x0112, 2) +
         integer(3, 2) + integer(1, 4) + integer(static_cast<std::uint32_t>(orientation), 2) +
         std::string(2 + 4, '\0');
}

std::string webp_chunk(const std::string& name, const std::string& data) {
  return name + little_endian(static_cast<std::uint32_t>(data.size()), 4) + data +
         std::string(data.size() % 2, '\0');
}

/// The extended form, which carries EXIF and animations.
std::string webp_of(std::uint32_t flags, int width, int height, const std::string& chunks) {
  const std::string body =
      "WEBP" +
      webp_chunk("VP8X", little_endian(flags, 4) +
                             little_endian(static_cast<std::uint32_t>(width - 1), 3) +
                             little_endian(static_cast<std::uint32_t>(height - 1), 3)) +
      chunks;
  return webp_chunk("RIFF", body);
}

std::uint32_t png_checksum(const std::string& bytes) {
  std::uint32_t checksum = 0xffffffff;
  for (const char byte : bytes) {
    checksum ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) {
      checksum = checksum >> 1 ^ (checksum % 2 == 1 ? 0xedb88320 : 0);
    }
  }
  return ~checksum;
}

/// The same picture with an EXIF block, in the place that its format has for one.
std::string with_exif(const std::string& image, const std::string& exif) {
  const auto size = static_cast<std::uint32_t>(exif.size());
  if (image.starts_with("\xff\xd8")) {
    return image.substr(0, 2) + "\xff\xe1" + big_endian(2 + 6 + size, 2) +
           std::string("Exif\0\0", 6) + exif + image.substr(2);
  }
  if (image.starts_with("RIFF")) {
    const Image decoded = decode_image(image);
    return webp_of(0x08, decoded.width, decoded.height,
                   image.substr(12) + webp_chunk("EXIF", exif));
  }
  constexpr std::size_t behind_ihdr = 8 + 25;
  const std::string chunk = "eXIf" + exif;
  return image.substr(0, behind_ihdr) + big_endian(size, 4) + chunk +
         big_endian(png_checksum(chunk), 4) + image.substr(behind_ihdr);
}

enum class TiffPages { kOne, kEndless };

/// entries: values by tag, all of them 16-bit; where the data lies and its size are added. One
/// strip or, where the entries give the size of one, one tile.
std::string tiff_file(std::map<std::uint32_t, std::uint32_t> entries, std::string_view data,
                      TiffPages pages = TiffPages::kOne) {
  constexpr std::uint32_t directory = 8;
  const bool tiled = entries.contains(322);
  const std::uint32_t offset_tag = tiled ? 324 : 273;
  entries[tiled ? 325 : 279] = static_cast<std::uint32_t>(data.size());
  entries[offset_tag] = 0;
  const auto count = static_cast<std::uint32_t>(entries.size());
  entries[offset_tag] = directory + 2 + 12 * count + 4;
  std::string bytes =
      "II" + little_endian(42, 2) + little_endian(directory, 4) + little_endian(count, 2);
  for (const auto& [tag, value] : entries) {
    bytes +=
        little_endian(tag, 2) + little_endian(3, 2) + little_endian(1, 4) + little_endian(value, 4);
  }
  bytes += little_endian(pages == TiffPages::kEndless ? directory : 0, 4);
  return bytes.append(data);
}

/// RGB.
std::map<std::uint32_t, std::uint32_t> tiff_entries(std::uint32_t height, std::uint32_t width,
                                                    std::uint32_t compression) {
  return {{256, width}, {257, height}, {258, 8},     {259, compression},
          {262, 2},     {277, 3},      {278, height}};
}

/// Uncompressed RGB.
std::string tiff_of(std::uint32_t height, std::uint32_t width, const std::vector<std::uint8_t>& rgb,
                    int orientation, TiffPages pages = TiffPages::kOne) {
  constexpr std::uint32_t none = 1;
  auto entries = tiff_entries(height, width, none);
  entries[274] = static_cast<std::uint32_t>(orientation);
  return tiff_file(entries, {reinterpret_cast<const char*>(rgb.data()), rgb.size()}, pages);
}

/// As one block that is not compressed.
std::string deflated(const std::string& data) {
  std::uint32_t low = 1;
  std::uint32_t high = 0;
  for (const char byte : data) {
    low = (low + static_cast<unsigned char>(byte)) % 65521;
    high = (high + low) % 65521;
  }
  const auto size = static_cast<std::uint32_t>(data.size());
  return "\x78\x01\x01" + little_endian(size, 2) + little_endian(~size, 2) + data +
         big_endian(high << 16 | low, 4);
}

enum class Expected { kOtherPixels, kRefused };

/// Where the decoder is known not to give Pillow's pixels; docs/encoder.md says why.
const std::map<std::string, Expected> kExceptions = {
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
  EXPECT_EQ(equal, 44U);
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

/// The first half of the data, and then a proper end: decoders make up the rest.
TEST(ImageDecoder, RefusesAJpegThatEndsInTheMiddle) {
  VITRINE_NEED_FIXTURES();
  for (const char* name : {"exact_224.jpg", "progressive.jpg", "gray.jpg", "cmyk.jpg"}) {
    const std::string bytes = read_all(fixtures() / "images" / name);
    EXPECT_EQ(refusal_code(bytes.substr(0, bytes.size() / 2) + "\xff\xd9"),
              ErrorCode::kInvalidArgument)
        << name;
  }
}

TEST(ImageDecoder, PassesOverJunkBetweenTheSegmentsOfAJpeg) {
  VITRINE_NEED_FIXTURES();
  const std::string bytes = read_all(fixtures() / "images/exact_224.jpg");
  const Image image = decode_image(bytes);
  std::string junk = bytes;
  junk.insert(bytes.size() - 2, "junk");
  EXPECT_EQ(decode_image(junk).rgb, image.rgb);
  EXPECT_EQ(decode_image(bytes + "junk behind the end").rgb, image.rgb);
  EXPECT_EQ(decode_image("\xff\xd8\xff\x01" + bytes.substr(2)).rgb, image.rgb) << "TEM";
}

/// A scan of fifteen bytes can cost as much as the decoding of a whole picture.
TEST(ImageDecoder, RefusesAJpegOfEndlesslyManyScans) {
  const std::string head = from_hex(
      "ffd8ffdb0043000302020302020303030304030304050805050404050a070706080c0a0c0c0b0a0b0b0d"
      "0e12100d0e110e0b0b1016101113141515150c0f171816141812141514ffc2000b080008000801011100"
      "ffc40014000100000000000000000000000000000008ffda0008010100000000607fffc4001410010000"
      "0000000000000000000000000000");
  const std::string scan = from_hex("ffda0008010100013f007f");
  const auto with_scans = [&](int count) {
    std::string bytes = head;
    for (int i = 0; i < count; ++i) bytes += scan;
    return bytes + "\xff\xd9";
  };
  EXPECT_EQ(decode_image(with_scans(50)).rgb, std::vector<std::uint8_t>(8 * 8 * 3, 200));
  EXPECT_EQ(refusal_code(with_scans(1000)), ErrorCode::kInvalidArgument);
}

/// As Pillow: tags of a TIFF itself count, whatever the options.
TEST(ImageDecoder, TurnsATiffUpright) {
  const std::vector<std::uint8_t> stored = {10, 11, 12, 20, 21, 22, 30, 31, 32,
                                            40, 41, 42, 50, 51, 52, 60, 61, 62};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const Image image = decode_image(tiff_of(2, 3, stored, orientation));
    EXPECT_EQ(image, shown({2, 3, stored}, orientation)) << orientation;
  }
}

/// libtiff's own functions that make RGB of a TIFF leave black what does not decode.
TEST(ImageDecoder, RefusesATiffWithADamagedStrip) {
  VITRINE_NEED_FIXTURES();
  const std::string sound = read_all(fixtures() / "images/rgb_lzw.tiff");
  const std::pair<std::size_t, std::size_t> strips[] = {
      {8, 49897}, {49905, 65498}, {115403, 43960}};
  std::string black = sound;
  for (const auto& [at, size] : strips) {
    SCOPED_TRACE(at);
    const auto refuses_without = [&](std::size_t from, std::size_t count) {
      const std::string damaged = std::string(sound).replace(from, count, count, '\0');
      EXPECT_EQ(refusal_code(damaged), ErrorCode::kInvalidArgument);
    };
    refuses_without(at, size);
    refuses_without(at, size / 2);
    refuses_without(at + size / 2, size / 2);
    black.replace(at, size, size, '\0');
  }
  EXPECT_EQ(refusal_code(black), ErrorCode::kInvalidArgument);
  EXPECT_NO_THROW(decode_image(sound));
}

TEST(ImageDecoder, RefusesATiffWhoseDataIsNotOfItsCompression) {
  for (const char filler : {'\0', '\x80'}) {
    const std::string data(48, filler);
    EXPECT_NO_THROW(decode_image(tiff_file(tiff_entries(4, 4, 1), data)));
    for (const std::uint32_t compression :
         {2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34712, 34925, 50000, 50001, 65000}) {
      SCOPED_TRACE(compression);
      EXPECT_EQ(refusal_code(tiff_file(tiff_entries(4, 4, compression), data)),
                ErrorCode::kInvalidArgument);
    }
  }
}

TEST(ImageDecoder, RefusesATiffOfTooLittleData) {
  const std::string rgb(48, '\x4d');
  const std::string packed = "\x2f" + rgb;  // 48 bytes as they are
  const std::string zlib = deflated(rgb);
  const struct {
    std::uint32_t compression;
    std::string data;
  } kinds[] = {{1, rgb}, {32773, packed}, {8, zlib}, {32946, zlib}};
  for (const auto& kind : kinds) {
    SCOPED_TRACE(kind.compression);
    const auto strip = tiff_entries(4, 4, kind.compression);
    auto tile = strip;
    tile.erase(278);
    tile[322] = tile[323] = 16;
    EXPECT_EQ(decode_image(tiff_file(strip, kind.data)).rgb, std::vector<std::uint8_t>(48, 0x4d));
    for (const std::size_t size : {kind.data.size() - 1, kind.data.size() / 2, std::size_t(1)}) {
      EXPECT_EQ(refusal_code(tiff_file(strip, kind.data.substr(0, size))),
                ErrorCode::kInvalidArgument);
    }
    EXPECT_EQ(refusal_code(tiff_file(tile, kind.data)), ErrorCode::kInvalidArgument) << "a tile";
  }
}

TEST(ImageDecoder, DecodesTheTilesOfATiff) {
  auto entries = tiff_entries(4, 4, 8);
  entries.erase(278);
  entries[322] = entries[323] = 16;
  const std::string data = deflated(std::string(16 * 16 * 3, '\x4d'));
  EXPECT_EQ(decode_image(tiff_file(entries, data)).rgb, std::vector<std::uint8_t>(48, 0x4d));
}

/// libtiff does not read the checksum of a strip that became longer.
TEST(ImageDecoder, ReadsTheChecksumsOfADeflatedTiff) {
  const auto entries = tiff_entries(4, 4, 8);
  for (const std::size_t size : {48, 49}) {
    std::string data = deflated(std::string(size, '\x4d'));
    data[20] = static_cast<char>(data[20] ^ 1);
    EXPECT_EQ(refusal_code(tiff_file(entries, data)), ErrorCode::kInvalidArgument) << size;
  }
}

/// Some programs fill the last strip up, or the only one.
TEST(ImageDecoder, PassesOverRowsBelowTheLastOneOfATiff) {
  auto entries = tiff_entries(4, 4, 8);
  entries[278] = 16;
  const std::string four_and_twelve_rows = from_hex("789cf3f5250d300c32000081ff0e71");
  EXPECT_EQ(decode_image(tiff_file(entries, four_and_twelve_rows)).rgb,
            std::vector<std::uint8_t>(48, 0x4d));
}

/// White rows: one bit each.
TEST(ImageDecoder, RefusesATiffOfTooFewFaxRows) {
  auto entries = tiff_entries(8, 8, 4);
  entries[258] = entries[277] = 1;
  entries[262] = 0;
  EXPECT_EQ(decode_image(tiff_file(entries, from_hex("ff001001"))).rgb,
            std::vector<std::uint8_t>(8 * 8 * 3, 255));
  EXPECT_EQ(refusal_code(tiff_file(entries, from_hex("f0"))), ErrorCode::kInvalidArgument);
}

/// As of a JPEG itself: the end is there, half of the data is not.
TEST(ImageDecoder, RefusesATiffWhoseJpegEndsInTheMiddle) {
  VITRINE_NEED_FIXTURES();
  const std::string jpeg = read_all(fixtures() / "images/upscale_50x40.jpg");
  auto entries = tiff_entries(40, 50, 7);
  entries[262] = 6;
  EXPECT_EQ(decode_image(tiff_file(entries, jpeg)).rgb, decode_image(jpeg).rgb);
  for (const char* end : {"", "\xff\xd9"}) {
    EXPECT_EQ(refusal_code(tiff_file(entries, jpeg.substr(0, jpeg.size() / 2) + end)),
              ErrorCode::kInvalidArgument);
  }
}

TEST(ImageDecoder, SaysWhatIsWrongWithATiff) {
  try {
    decode_image(tiff_file(tiff_entries(4, 4, 34712), std::string(48, 'x')));
    FAIL() << "the image is accepted";
  } catch (const Error& error) {
    EXPECT_TRUE(std::string_view(error.what()).starts_with("damaged image: ")) << error.what();
    EXPECT_NE(std::string_view(error.what()).find("34712"), std::string_view::npos) << error.what();
  }
}

/// What libtiff says of one file concerns no other.
TEST(ImageDecoder, TellsDamagedTiffsApartOnManyThreads) {
  const std::string sound = tiff_file(tiff_entries(4, 4, 32773), "\x2f" + std::string(48, 'x'));
  const std::string damaged = tiff_file(tiff_entries(4, 4, 32773), std::string(48, '\x80'));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 200; ++n) {
        EXPECT_NO_THROW(decode_image(sound));
        EXPECT_THROW(decode_image(damaged), Error);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

/// libtiff takes the first of two widths, and some programs the last.
TEST(ImageDecoder, AppliesTheLimitsToEverySizeThatATiffGives) {
  const std::string width = little_endian(256, 2) + little_endian(3, 2) + little_endian(1, 4);
  const std::string height = little_endian(257, 2) + little_endian(3, 2) + little_endian(1, 4);
  for (const std::uint32_t first : {2, 60000}) {
    const std::string bytes = "II" + little_endian(42, 2) + little_endian(8, 4) +
                              little_endian(3, 2) + width + little_endian(first, 4) + width +
                              little_endian(60002 - first, 4) + height + little_endian(50000, 4) +
                              std::string(4, '\0');
    EXPECT_EQ(refusal_code(bytes), ErrorCode::kResourceExhausted) << first;
  }
}

/// OpenCV makes room for a strip as high as the file says, whatever the height of the picture.
TEST(ImageDecoder, AppliesTheLimitsToTheStripsOfATiff) {
  const std::vector<std::uint8_t> stored(2 * 3 * 3, 77);
  const std::string whole = tiff_of(2, 3, stored, 1);
  const std::string tag = little_endian(278, 2) + little_endian(3, 2) + little_endian(1, 4);
  const std::size_t at = whole.find(tag + little_endian(2, 4));
  ASSERT_NE(at, std::string::npos);
  const auto with_rows = [&](std::uint32_t type, std::uint32_t rows) {
    const std::string entry = little_endian(278, 2) + little_endian(type, 2) + little_endian(1, 4) +
                              little_endian(rows, 4);
    return std::string(whole).replace(at, entry.size(), entry);
  };
  constexpr std::uint32_t as_short = 3, as_long = 4;
  EXPECT_EQ(decode_image(with_rows(as_short, 100)).rgb, stored);
  EXPECT_EQ(decode_image(with_rows(as_long, 0xffffffff)).rgb, stored);
  EXPECT_EQ(refusal_code(with_rows(as_long, 0xfffffffe)), ErrorCode::kResourceExhausted);
}

/// Of a file with one size of a tile, OpenCV takes the other of the strips.
TEST(ImageDecoder, AppliesTheLimitsToATileAsHighAsAStrip) {
  const auto entry = [](std::uint32_t tag, std::uint32_t value) {
    return little_endian(tag, 2) + little_endian(3, 2) + little_endian(1, 4) +
           little_endian(value, 4);
  };
  const std::string bytes = "II" + little_endian(42, 2) + little_endian(8, 4) +
                            little_endian(4, 2) + entry(256, 17) + entry(257, 12) +
                            entry(278, 50000) + entry(322, 50000) + std::string(4, '\0');
  EXPECT_EQ(refusal_code(bytes), ErrorCode::kResourceExhausted);
}

/// The next directory of this one is itself: who counts the pages never ends.
TEST(ImageDecoder, DecodesTheFirstPageOfATiffWhateverFollows) {
  const std::vector<std::uint8_t> stored(2 * 3 * 3, 77);
  EXPECT_EQ(decode_image(tiff_of(2, 3, stored, 1, TiffPages::kEndless)).rgb, stored);
}

TEST(ImageDecoder, DecodesTheFirstFrameOfAWebpAlone) {
  VITRINE_NEED_FIXTURES();
  const std::string still = read_all(fixtures() / "images/lossless.webp");
  const Image frame = decode_image(still);
  const std::string chunks = still.substr(12);
  const auto animation = [&](int left, int top, int width, int height) {
    const std::string first = little_endian(static_cast<std::uint32_t>(left / 2), 3) +
                              little_endian(static_cast<std::uint32_t>(top / 2), 3) +
                              little_endian(static_cast<std::uint32_t>(frame.width - 1), 3) +
                              little_endian(static_cast<std::uint32_t>(frame.height - 1), 3) +
                              std::string(4, '\0') + chunks;
    return webp_of(0x02, width, height,
                   webp_chunk("ANIM", std::string(6, '\0')) + webp_chunk("ANMF", first) +
                       webp_chunk("ANMF", std::string(40, 'x')));
  };
  EXPECT_EQ(decode_image(animation(0, 0, frame.width, frame.height)), frame);

  const int left = 2;
  const int top = 4;
  const std::string framed = animation(left, top, frame.width + 5, frame.height + 6);
  for (const char* background : {"", "#102030"}) {
    const Image canvas = decode_image(framed, {}, {false, background});
    ASSERT_EQ(canvas.width, frame.width + 5);
    ASSERT_EQ(canvas.height, frame.height + 6);
    const Pixel around = *background == '\0' ? Pixel{0, 0, 0} : Pixel{0x10, 0x20, 0x30};
    for (int y = 0; y < canvas.height; ++y) {
      for (int x = 0; x < canvas.width; ++x) {
        const bool inside =
            x >= left && x < left + frame.width && y >= top && y < top + frame.height;
        ASSERT_EQ(pixel(canvas, y, x), inside ? pixel(frame, y - top, x - left) : around);
      }
    }
  }
  EXPECT_EQ(refusal_code(animation(2, 0, frame.width, frame.height)), ErrorCode::kInvalidArgument)
      << "beyond the canvas";
  EXPECT_EQ(refusal_code(framed, {1 << 20, 1000}), ErrorCode::kResourceExhausted);
  EXPECT_EQ(refusal_code(webp_of(0x02, 8, 8, webp_chunk("ANIM", std::string(6, '\0')))),
            ErrorCode::kInvalidArgument)
      << "no frame";
}

TEST(ImageDecoder, AppliesExifOrientationWhenAsked) {
  VITRINE_NEED_FIXTURES();
  const ImageOptions upright{true, ""};
  for (const char* name : {"upscale_50x40.jpg", "upscale_50x40.png", "lossless.webp"}) {
    const std::string bytes = read_all(fixtures() / "images" / name);
    const Image stored = decode_image(bytes);
    EXPECT_EQ(decode_image(bytes, {}, upright), stored) << "no EXIF";
    for (int orientation = 1; orientation <= 8; ++orientation) {
      for (const bool big_endian : {false, true}) {
        SCOPED_TRACE(std::string(name) + " " + std::to_string(orientation));
        const std::string turned = with_exif(bytes, exif_block(orientation, big_endian));
        EXPECT_EQ(decode_image(turned), stored);
        EXPECT_EQ(decode_image(turned, {}, upright), shown(stored, orientation));
      }
    }
  }
  const Image real =
      decode_image(read_all(fixtures() / "images/exif_orientation6.jpg"), {}, upright);
  EXPECT_GT(real.width, 0);
  EXPECT_EQ(real, shown(decode_image(read_all(fixtures() / "images/exif_orientation6.jpg")), 6));
}

TEST(ImageDecoder, TakesDamagedExifForNone) {
  VITRINE_NEED_FIXTURES();
  const ImageOptions upright{true, ""};
  const std::string good = exif_block(6, false);
  for (const char* name : {"upscale_50x40.jpg", "upscale_50x40.png", "lossless.webp"}) {
    const std::string bytes = read_all(fixtures() / "images" / name);
    const Image stored = decode_image(bytes);
    const auto expect_none = [&](const std::string& exif, const char* what) {
      EXPECT_EQ(decode_image(with_exif(bytes, exif), {}, upright), stored) << name << ": " << what;
    };
    for (std::size_t length = 0; length < 20; ++length) {
      expect_none(good.substr(0, length), "cut short");
    }
    const auto with = [&](std::size_t at, const std::string& value) {
      return std::string(good).replace(at, value.size(), value);
    };
    expect_none(exif_block(0, false), "orientation 0");
    expect_none(exif_block(9, true), "orientation 9");
    expect_none(exif_block(65535, false), "orientation 65535");
    expect_none(with(0, "XX"), "no byte order");
    expect_none(with(2, little_endian(43, 2)), "no TIFF");
    expect_none(with(4, little_endian(0xfffffff0, 4)), "directory far away");
    expect_none(with(4, little_endian(2, 4)), "directory in the header");
    expect_none(with(8, little_endian(0, 2)), "no entries");
    expect_none(with(10, little_endian(0x0113, 2)), "another tag");
    expect_none(with(12, little_endian(4, 2)), "another type");
    expect_none(with(14, little_endian(2, 4)), "two orientations");
    expect_none(with(8, little_endian(65535, 2)).replace(10, 2, "zz"), "entries beyond the end");
    for (std::size_t at = 0; at < good.size() * 8; ++at) {
      std::string flipped = good;
      flipped[at / 8] = static_cast<char>(flipped[at / 8] ^ (1 << (at % 8)));
      EXPECT_EQ(decode_image(with_exif(bytes, flipped), {}, upright).rgb.size(), stored.rgb.size());
    }
  }
}

/// Pixels over #ff8000 as Pillow composites them: transparent, between, and opaque ones.
TEST(ImageDecoder, CompositesOverTheBackgroundAsPillow) {
  VITRINE_NEED_FIXTURES();
  const struct {
    const char* file;
    int x, y;
    Pixel expected;
  } golden[] = {
      {"rgba.png", 0, 0, {255, 128, 0}},
      {"rgba.png", 133, 98, {12, 122, 69}},
      {"gray_alpha.png", 28, 42, {239, 121, 2}},
      {"gray_alpha.png", 112, 63, {86, 86, 86}},
      {"palette_transparent.png", 0, 0, {95, 24, 26}},
      {"palette_transparent.png", 210, 0, {255, 128, 0}},
      {"palette_trns_table.png", 0, 0, {208, 98, 23}},
      {"palette_trns_table.png", 14, 0, {234, 20, 129}},
      {"palette_trns_table.png", 175, 0, {255, 128, 0}},
      {"rgb_trns_colourkey.png", 0, 0, {122, 1, 0}},
      {"rgb_trns_colourkey.png", 42, 42, {255, 128, 0}},
      {"alpha.webp", 0, 0, {255, 128, 0}},
      {"alpha.webp", 28, 49, {241, 123, 13}},
      {"alpha.webp", 126, 70, {136, 124, 63}},
  };
  for (const auto& entry : golden) {
    const std::string bytes = read_all(fixtures() / "images" / entry.file);
    EXPECT_EQ(pixel(decode_image(bytes, {}, {false, "#ff8000"}), entry.y, entry.x), entry.expected)
        << entry.file << " at " << entry.x << ", " << entry.y;
  }
}

/// Over black and over white the same alpha shows in every channel of every pixel.
TEST(ImageDecoder, CompositesEveryPixelByItsAlpha) {
  VITRINE_NEED_FIXTURES();
  for (const char* name : {"rgba.png", "gray_alpha.png", "palette_transparent.png",
                           "palette_trns_table.png", "rgb_trns_colourkey.png", "alpha.webp"}) {
    const std::string bytes = read_all(fixtures() / "images" / name);
    const Image dropped = decode_image(bytes);
    const Image black = decode_image(bytes, {}, {false, "#000000"});
    const Image white = decode_image(bytes, {}, {false, "#FFFFFF"});
    ASSERT_EQ(black.rgb.size(), dropped.rgb.size());
    ASSERT_EQ(white.rgb.size(), dropped.rgb.size());
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < dropped.rgb.size(); ++i) {
      const int alpha = 255 - (white.rgb[i] - black.rgb[i]);
      const int same = 255 - (white.rgb[i / 3 * 3] - black.rgb[i / 3 * 3]);
      // Either composite is rounded, so that alpha is known to one.
      wrong += std::abs(alpha - same) > 1 ||
               std::abs(black.rgb[i] * 255 - dropped.rgb[i] * alpha) > 255 + 127;
    }
    EXPECT_EQ(wrong, 0U) << name;
  }
}

TEST(ImageDecoder, ABackgroundChangesNoOpaqueImage) {
  VITRINE_NEED_FIXTURES();
  const std::set<std::string> transparent = {
      "rgba.png",   "gray_alpha.png",        "palette_transparent.png", "palette_trns_table.png",
      "alpha.webp", "rgb_trns_colourkey.png"};
  for (const auto& entry : std::filesystem::directory_iterator(fixtures() / "images")) {
    const std::string name = entry.path().filename();
    if (name.ends_with(".gif")) continue;
    const std::string bytes = read_all(entry.path());
    const bool equal = decode_image(bytes, {}, {false, "#00ff00"}) == decode_image(bytes);
    EXPECT_EQ(equal, !transparent.contains(name)) << name;
  }
}

TEST(ImageOptions, RefuseABackgroundThatIsNoColour) {
  for (const char* good : {"", "#000000", "#FFffFF", "#12aB9f"}) {
    EXPECT_NO_THROW((ImageOptions{false, good}.validate())) << good;
  }
  for (const char* bad :
       {"white", "#fff", "ffffff", "#ffffff0", "#fffffg", "#-fffff", "#", " #ffffff"}) {
    EXPECT_THROW((ImageOptions{false, bad}.validate()), Error) << bad;
  }
}

TEST(ImageOptions, ChangeTheFingerprintUnlessTheyAreTheDefault) {
  const std::string checkpoint(64, 'a');
  EXPECT_EQ(ImageOptions{}.fingerprint(checkpoint), checkpoint);
  std::set<std::string> fingerprints = {checkpoint};
  for (const ImageOptions& options :
       {ImageOptions{true, ""}, ImageOptions{false, "#ffffff"}, ImageOptions{true, "#ffffff"},
        ImageOptions{false, "#fffffe"}}) {
    EXPECT_EQ(options.fingerprint(checkpoint).size(), 64U);
    EXPECT_TRUE(fingerprints.insert(options.fingerprint(checkpoint)).second);
    EXPECT_TRUE(fingerprints.insert(options.fingerprint(std::string(64, 'b'))).second);
  }
  EXPECT_EQ((ImageOptions{false, "#ffffff"}.fingerprint(checkpoint)),
            (ImageOptions{false, "#FFFFFF"}.fingerprint(checkpoint)));
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
