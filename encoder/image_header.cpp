#include "encoder/image_header.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <string>

#include "base/error.h"
#include "encoder/image_bytes.h"

namespace vitrine::encoder {
namespace {

constexpr std::uint32_t kJpegEnd = 0xd9;
constexpr std::uint32_t kJpegScan = 0xda;
constexpr std::uint32_t kJpegApp1 = 0xe1;

bool is_jpeg_frame(std::uint32_t marker) {
  return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

/// Stuffing, TEM, the restart markers and the start of the image have no length and no content.
bool stands_alone(std::uint32_t marker) {
  return marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8);
}

/// Calls visit(marker, position of its segment's length) up to the first scan, or until it returns
/// true. Bytes between segments are passed over, as libjpeg does.
template <typename Visit>
void visit_jpeg_segments(const ImageBytes& reader, Visit visit) {
  for (std::uint64_t at = 2;;) {
    while (reader.u8(at) != 0xff) ++at;
    while (reader.u8(at) == 0xff) ++at;
    const std::uint32_t marker = reader.u8(at++);
    if (marker == kJpegScan || marker == kJpegEnd) return;
    if (stands_alone(marker)) continue;
    if (visit(marker, at)) return;
    at += reader.u16(at);
  }
}

ImageHeader jpeg_header(std::string_view bytes) {
  const ImageBytes reader(bytes, true);
  std::optional<ImageHeader> header;
  visit_jpeg_segments(reader, [&](std::uint32_t marker, std::uint64_t at) {
    if (!is_jpeg_frame(marker)) return false;
    header = {ImageFormat::kJpeg, reader.u16(at + 5), reader.u16(at + 3), 0, false};
    return true;
  });
  if (!header) throw damaged_image("a JPEG without a frame header");
  return *header;
}

std::string_view jpeg_exif(std::string_view bytes) {
  constexpr std::string_view name("Exif\0\0", 6);
  const ImageBytes reader(bytes, true);
  std::string_view exif;
  visit_jpeg_segments(reader, [&](std::uint32_t marker, std::uint64_t at) {
    if (marker != kJpegApp1 || !reader.has(at + 2, name)) return false;
    const std::uint64_t length = reader.u16(at);
    if (length < 2 + name.size()) return false;
    exif = reader.range(at + 2 + name.size(), length - 2 - name.size());
    return true;
  });
  return exif;
}

ImageHeader png_header(std::string_view bytes) {
  const ImageBytes reader(bytes, true);
  if (reader.u32(8) != 13 || !reader.has(12, "IHDR")) throw damaged_image("a PNG without IHDR");
  constexpr std::uint32_t alpha_flag = 4;  // of the colour type
  ImageHeader header{ImageFormat::kPng, reader.u32(16), reader.u32(20), 0,
                     (reader.u8(25) & alpha_flag) != 0};
  for (std::uint64_t at = 8; !header.alpha && !reader.has(at + 4, "IDAT");) {
    header.alpha = reader.has(at + 4, "tRNS");
    at += 12 + static_cast<std::uint64_t>(reader.u32(at));
  }
  return header;
}

/// libpng checks the checksums and the data; what it lets pass is a missing end.
void check_png(std::string_view bytes) {
  const ImageBytes reader(bytes, true);
  for (std::uint64_t at = 8; !reader.has(at + 4, "IEND");) {
    at += 12 + static_cast<std::uint64_t>(reader.u32(at));
    if (at > reader.size()) throw damaged_image("a PNG that is cut short");
  }
}

std::string_view png_exif(std::string_view bytes) {
  const ImageBytes reader(bytes, true);
  for (std::uint64_t at = 8; !reader.has(at + 4, "IEND");) {
    const std::uint64_t length = reader.u32(at);
    if (reader.has(at + 4, "eXIf")) return reader.range(at + 8, length);
    at += 12 + length;
  }
  return {};
}

ImageHeader webp_header(std::string_view bytes) {
  const ImageBytes reader(bytes, false);
  if (reader.has(12, "VP8X")) {
    constexpr std::uint32_t alpha_flag = 0x10;
    return {ImageFormat::kWebp, reader.u24(24) + 1, reader.u24(27) + 1, 0,
            (reader.u8(20) & alpha_flag) != 0};
  }
  if (reader.has(12, "VP8L") && reader.u8(20) == 0x2f) {
    const std::uint32_t packed = reader.u32(21);
    return {ImageFormat::kWebp, (packed & 0x3fff) + 1, ((packed >> 14) & 0x3fff) + 1, 0,
            (packed >> 28 & 1) != 0};
  }
  if (reader.has(12, "VP8 ") && reader.has(23, "\x9d\x01\x2a")) {
    return {ImageFormat::kWebp, reader.u16(26) & 0x3fff, reader.u16(28) & 0x3fff, 0, false};
  }
  throw damaged_image("a WebP without a picture");
}

void check_webp(std::string_view bytes) {
  const ImageBytes reader(bytes, false);
  if (static_cast<std::uint64_t>(reader.u32(4)) + 8 > reader.size()) {
    throw damaged_image("a WebP that is cut short");
  }
}

std::string_view webp_exif(std::string_view bytes) {
  const ImageBytes reader(bytes, false);
  for (std::uint64_t at = 12; at < reader.size();) {
    const std::uint64_t length = reader.u32(at + 4);
    if (reader.has(at, "EXIF")) {
      // Some programs write the block as they would into a JPEG.
      constexpr std::string_view name("Exif\0\0", 6);
      const std::string_view exif = reader.range(at + 8, length);
      return exif.starts_with(name) ? exif.substr(name.size()) : exif;
    }
    at += 8 + length + length % 2;
  }
  return {};
}

constexpr std::uint32_t kBmpCoreHeader = 12;

ImageHeader bmp_header(std::string_view bytes) {
  const ImageBytes reader(bytes, false);
  if (reader.u32(14) == kBmpCoreHeader) {
    return {ImageFormat::kBmp, reader.u16(18), reader.u16(20), 0, false};
  }
  const auto width = static_cast<std::int32_t>(reader.u32(18));
  const auto height = static_cast<std::int64_t>(static_cast<std::int32_t>(reader.u32(22)));
  if (width < 0) throw damaged_image("a BMP of negative width");
  constexpr std::uint32_t bits_with_alpha = 32;
  return {ImageFormat::kBmp, static_cast<std::uint64_t>(width),
          static_cast<std::uint64_t>(std::llabs(height)), 0, reader.u16(28) == bits_with_alpha};
}

void check_bmp(std::string_view bytes, const ImageHeader& header) {
  const ImageBytes reader(bytes, false);
  const bool core = reader.u32(14) == kBmpCoreHeader;
  const std::uint32_t compression = core ? 0 : reader.u32(30);
  const std::uint64_t bits = reader.u16(core ? 24 : 28);
  constexpr std::uint32_t bit_fields = 3;
  if (compression != 0 && compression != bit_fields) return;  // run lengths tell nothing in advance
  const std::uint64_t stride = (header.width * bits + 31) / 32 * 4;
  if (reader.u32(10) + stride * header.height > reader.size()) {
    throw damaged_image("a BMP that is cut short");
  }
}

ImageHeader tiff_header(std::string_view bytes) {
  constexpr std::uint32_t width_tag = 256, height_tag = 257, samples_tag = 277,
                          strip_rows_tag = 278;
  constexpr std::uint32_t tile_width_tag = 322, tile_height_tag = 323, extra_samples_tag = 338;
  constexpr std::uint32_t type_short = 3, type_long = 4;
  const ImageBytes reader(bytes, bytes[0] == 'M');
  const std::uint64_t directory = reader.u32(4);
  const std::uint32_t entries = reader.u16(directory);
  ImageHeader header{ImageFormat::kTiff, 0, 0, 0, false};
  // Of a tile or strip, which may be larger than the picture. A damaged file mixes them: OpenCV
  // then makes room for a tile's columns and a strip's rows.
  std::uint64_t held_width = 0;
  std::uint64_t held_height = 0;
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::uint64_t at = directory + 2 + 12ULL * i;
    const std::uint32_t tag = reader.u16(at);
    header.alpha = header.alpha || tag == extra_samples_tag;
    if (tag != width_tag && tag != height_tag && tag != samples_tag && tag != strip_rows_tag &&
        tag != tile_width_tag && tag != tile_height_tag) {
      continue;
    }
    const std::uint32_t type = reader.u16(at + 2);
    if (type != type_short && type != type_long) {
      throw damaged_image("a TIFF whose sizes are no unsigned integers");
    }
    // Of a tag that is there twice libtiff takes the first: the largest bounds whatever is taken.
    const std::uint64_t value = type == type_short ? reader.u16(at + 8) : reader.u32(at + 8);
    if (tag == width_tag) header.width = std::max(header.width, value);
    if (tag == height_tag) header.height = std::max(header.height, value);
    if (tag == tile_width_tag) held_width = std::max(held_width, value);
    if (tag == tile_height_tag) held_height = std::max(held_height, value);
    // The largest number stands for "all rows".
    if (tag == strip_rows_tag && value < 0xffffffff) held_height = std::max(held_height, value);
    if (tag == samples_tag && (value < 1 || value > 4)) {
      throw invalid_argument("a TIFF of more than 4 samples a pixel is not supported");
    }
  }
  header.pixels = std::max(header.width, held_width) * std::max(header.height, held_height);
  return header;
}

std::optional<ImageHeader> detect(std::string_view bytes) {
  const ImageBytes reader(bytes, true);
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
  if (header->width == 0 || header->height == 0) throw damaged_image("its width or height is 0");
  header->pixels = std::max(header->pixels, header->width * header->height);
  return *header;
}

std::string_view find_exif(std::string_view bytes, const ImageHeader& header) {
  switch (header.format) {
    case ImageFormat::kJpeg:
      return jpeg_exif(bytes);
    case ImageFormat::kPng:
      return png_exif(bytes);
    case ImageFormat::kWebp:
      return webp_exif(bytes);
    case ImageFormat::kBmp:   // has none
    case ImageFormat::kTiff:  // the decoder itself turns the picture, as Pillow does
      return {};
  }
  return {};
}

void check_image_is_complete(std::string_view bytes, const ImageHeader& header) {
  switch (header.format) {
    case ImageFormat::kJpeg:
      return;  // decode_jpeg() takes libjpeg's warnings for errors
    case ImageFormat::kPng:
      return check_png(bytes);
    case ImageFormat::kWebp:
      return check_webp(bytes);
    case ImageFormat::kBmp:
      return check_bmp(bytes, header);
    case ImageFormat::kTiff:
      return;  // check_tiff() decodes it
  }
}

}  // namespace vitrine::encoder
