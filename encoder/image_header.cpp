#include "encoder/image_header.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <string>

#include "base/error.h"

namespace vitrine::encoder {
namespace {

Error damaged(const std::string& what) { return invalid_argument("damaged image: " + what); }

/// Bounds-checked integers of either byte order.
class Reader {
 public:
  Reader(std::string_view bytes, bool big_endian) : bytes_(bytes), big_endian_(big_endian) {}

  std::uint64_t size() const { return bytes_.size(); }
  std::uint32_t u8(std::uint64_t at) const { return integer(at, 1); }
  std::uint32_t u16(std::uint64_t at) const { return integer(at, 2); }
  std::uint32_t u24(std::uint64_t at) const { return integer(at, 3); }
  std::uint32_t u32(std::uint64_t at) const { return integer(at, 4); }
  bool has(std::uint64_t at, std::string_view expected) const {
    return at <= bytes_.size() && bytes_.substr(at).starts_with(expected);
  }

 private:
  std::uint32_t integer(std::uint64_t at, unsigned count) const {
    if (at > bytes_.size() || bytes_.size() - at < count) throw damaged("it is cut short");
    std::uint32_t value = 0;
    for (unsigned i = 0; i < count; ++i) {
      const unsigned char byte = static_cast<unsigned char>(bytes_[at + i]);
      value |= static_cast<std::uint32_t>(byte) << (8 * (big_endian_ ? count - 1 - i : i));
    }
    return value;
  }

  std::string_view bytes_;
  bool big_endian_;
};

constexpr std::uint32_t kJpegEnd = 0xd9;
constexpr std::uint32_t kJpegScan = 0xda;

bool is_jpeg_restart(std::uint32_t marker) { return marker >= 0xd0 && marker <= 0xd7; }
bool is_jpeg_frame(std::uint32_t marker) {
  return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

/// Position of the marker byte of the first marker at or after `at`, passing entropy-coded data.
std::uint64_t find_jpeg_marker(const Reader& reader, std::uint64_t at) {
  while (true) {
    while (reader.u8(at) != 0xff) ++at;
    while (reader.u8(at) == 0xff) ++at;
    const std::uint32_t marker = reader.u8(at);
    if (marker != 0 && !is_jpeg_restart(marker)) return at;
    ++at;
  }
}

ImageHeader jpeg_header(std::string_view bytes) {
  const Reader reader(bytes, true);
  for (std::uint64_t at = 2;;) {
    at = find_jpeg_marker(reader, at);
    const std::uint32_t marker = reader.u8(at);
    if (marker == kJpegScan || marker == kJpegEnd) throw damaged("a JPEG without a frame header");
    if (is_jpeg_frame(marker)) {
      return {ImageFormat::kJpeg, reader.u16(at + 6), reader.u16(at + 4), 0};
    }
    at += 1 + reader.u16(at + 1);
  }
}

void check_jpeg(std::string_view bytes) {
  const Reader reader(bytes, true);
  bool scan = false;
  for (std::uint64_t at = 2;;) {
    at = find_jpeg_marker(reader, at);
    const std::uint32_t marker = reader.u8(at);
    if (marker == kJpegEnd) break;
    scan = scan || marker == kJpegScan;
    at += 1 + reader.u16(at + 1);
  }
  if (!scan) throw damaged("a JPEG without picture data");
}

ImageHeader png_header(std::string_view bytes) {
  const Reader reader(bytes, true);
  if (reader.u32(8) != 13 || !reader.has(12, "IHDR")) throw damaged("a PNG without IHDR");
  return {ImageFormat::kPng, reader.u32(16), reader.u32(20), 0};
}

/// libpng checks the checksums and the data; what it lets pass is a missing end.
void check_png(std::string_view bytes) {
  const Reader reader(bytes, true);
  for (std::uint64_t at = 8; !reader.has(at + 4, "IEND");) {
    at += 12 + static_cast<std::uint64_t>(reader.u32(at));
    if (at > reader.size()) throw damaged("a PNG that is cut short");
  }
}

ImageHeader webp_header(std::string_view bytes) {
  const Reader reader(bytes, false);
  if (reader.has(12, "VP8X")) {
    return {ImageFormat::kWebp, reader.u24(24) + 1, reader.u24(27) + 1, 0};
  }
  if (reader.has(12, "VP8L") && reader.u8(20) == 0x2f) {
    const std::uint32_t packed = reader.u32(21);
    return {ImageFormat::kWebp, (packed & 0x3fff) + 1, ((packed >> 14) & 0x3fff) + 1, 0};
  }
  if (reader.has(12, "VP8 ") && reader.has(23, "\x9d\x01\x2a")) {
    return {ImageFormat::kWebp, reader.u16(26) & 0x3fff, reader.u16(28) & 0x3fff, 0};
  }
  throw damaged("a WebP without a picture");
}

void check_webp(std::string_view bytes) {
  const Reader reader(bytes, false);
  if (static_cast<std::uint64_t>(reader.u32(4)) + 8 > reader.size()) {
    throw damaged("a WebP that is cut short");
  }
}

constexpr std::uint32_t kBmpCoreHeader = 12;

ImageHeader bmp_header(std::string_view bytes) {
  const Reader reader(bytes, false);
  if (reader.u32(14) == kBmpCoreHeader) {
    return {ImageFormat::kBmp, reader.u16(18), reader.u16(20), 0};
  }
  const auto width = static_cast<std::int32_t>(reader.u32(18));
  const auto height = static_cast<std::int64_t>(static_cast<std::int32_t>(reader.u32(22)));
  if (width < 0) throw damaged("a BMP of negative width");
  return {ImageFormat::kBmp, static_cast<std::uint64_t>(width),
          static_cast<std::uint64_t>(std::llabs(height)), 0};
}

void check_bmp(std::string_view bytes, const ImageHeader& header) {
  const Reader reader(bytes, false);
  const bool core = reader.u32(14) == kBmpCoreHeader;
  const std::uint32_t compression = core ? 0 : reader.u32(30);
  const std::uint64_t bits = reader.u16(core ? 24 : 28);
  constexpr std::uint32_t bit_fields = 3;
  if (compression != 0 && compression != bit_fields) return;  // run lengths tell nothing in advance
  const std::uint64_t stride = (header.width * bits + 31) / 32 * 4;
  if (reader.u32(10) + stride * header.height > reader.size()) {
    throw damaged("a BMP that is cut short");
  }
}

ImageHeader tiff_header(std::string_view bytes) {
  constexpr std::uint32_t width_tag = 256, height_tag = 257, samples_tag = 277;
  constexpr std::uint32_t tile_width_tag = 322, tile_height_tag = 323;
  constexpr std::uint32_t type_short = 3, type_long = 4;
  const Reader reader(bytes, bytes[0] == 'M');
  const std::uint64_t directory = reader.u32(4);
  const std::uint32_t entries = reader.u16(directory);
  ImageHeader header{ImageFormat::kTiff, 0, 0, 0};
  std::uint64_t tile_width = 0;
  std::uint64_t tile_height = 0;
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::uint64_t at = directory + 2 + 12ULL * i;
    const std::uint32_t tag = reader.u16(at);
    const std::uint32_t type = reader.u16(at + 2);
    if (type != type_short && type != type_long) continue;
    const std::uint32_t value = type == type_short ? reader.u16(at + 8) : reader.u32(at + 8);
    if (tag == width_tag) header.width = value;
    if (tag == height_tag) header.height = value;
    if (tag == tile_width_tag) tile_width = value;
    if (tag == tile_height_tag) tile_height = value;
    if (tag == samples_tag && (value < 1 || value > 4)) {
      throw invalid_argument("a TIFF of more than 4 samples a pixel is not supported");
    }
  }
  header.pixels = tile_width * tile_height;
  return header;
}

std::optional<ImageHeader> detect(std::string_view bytes) {
  const Reader reader(bytes, true);
  if (reader.has(0, "\xff\xd8\xff")) return jpeg_header(bytes);
  if (reader.has(0, "\x89PNG\r\n\x1a\n")) return png_header(bytes);
  if (reader.has(0, "RIFF") && reader.has(8, "WEBP")) return webp_header(bytes);
  if (reader.has(0, "BM")) return bmp_header(bytes);
  if (reader.has(0, std::string_view("II*\0", 4)) || reader.has(0, std::string_view("MM\0*", 4))) {
    return tiff_header(bytes);
  }
  return std::nullopt;
}

}  // namespace

ImageHeader read_image_header(std::string_view bytes) {
  if (bytes.empty()) throw invalid_argument("the image is empty (0 bytes)");
  std::optional<ImageHeader> header = detect(bytes);
  if (!header) {
    throw invalid_argument("not an image; JPEG, PNG, WebP, BMP and TIFF are read");
  }
  if (header->width == 0 || header->height == 0) throw damaged("its width or height is 0");
  header->pixels = std::max(header->pixels, header->width * header->height);
  return *header;
}

void check_image_is_complete(std::string_view bytes, const ImageHeader& header) {
  switch (header.format) {
    case ImageFormat::kJpeg:
      return check_jpeg(bytes);
    case ImageFormat::kPng:
      return check_png(bytes);
    case ImageFormat::kWebp:
      return check_webp(bytes);
    case ImageFormat::kBmp:
      return check_bmp(bytes, header);
    case ImageFormat::kTiff:
      return;  // libtiff fails on strips beyond the end
  }
}

}  // namespace vitrine::encoder
