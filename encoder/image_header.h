#pragma once

#include <cstdint>
#include <string_view>

namespace vitrine::encoder {

enum class ImageFormat { kJpeg, kPng, kWebp, kBmp, kTiff };

struct ImageHeader {
  ImageFormat format = ImageFormat::kJpeg;
  std::uint64_t width = 0;
  std::uint64_t height = 0;
  /// Pixels a decoder may hold at once: width * height, or a tile where that is larger.
  std::uint64_t pixels = 0;
};

/// Reads format and size without decoding. Throws InvalidArgument when the bytes are none of the
/// formats or the header is damaged.
ImageHeader read_image_header(std::string_view bytes);

/// Throws InvalidArgument when the image stops before its end, which decoders tend to overlook.
void check_image_is_complete(std::string_view bytes, const ImageHeader& header);

}  // namespace vitrine::encoder
