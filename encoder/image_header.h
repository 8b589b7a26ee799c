#pragma once

#include <cstdint>
#include <string_view>

namespace vitrine::encoder {

enum class ImageFormat { kJpeg, kPng, kWebp, kBmp, kTiff };

struct ImageHeader {
  ImageFormat format = ImageFormat::kJpeg;
  std::uint64_t width = 0;
  std::uint64_t height = 0;
  /// Pixels a decoder may hold at once: width * height, or a tile or strip where that is larger.
  std::uint64_t pixels = 0;
  /// Pixels may be transparent.
  bool alpha = false;
};

/// Reads format and size without decoding. Throws InvalidArgument when the bytes are none of the
/// formats or the header is damaged.
ImageHeader read_image_header(std::string_view bytes);

/// The EXIF block, which is a TIFF file in itself: a JPEG's APP1 segment, a PNG's eXIf chunk, a
/// WebP's EXIF chunk. A part of `bytes`; empty when there is none. Throws InvalidArgument when the
/// image is damaged before it.
std::string_view find_exif(std::string_view bytes, const ImageHeader& header);

/// Throws InvalidArgument when the image stops before its end, which decoders tend to overlook.
/// Of a JPEG, decode_jpeg() finds it, and of a TIFF check_tiff().
void check_image_is_complete(std::string_view bytes, const ImageHeader& header);

}  // namespace vitrine::encoder
