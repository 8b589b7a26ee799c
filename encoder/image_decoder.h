#pragma once

#include <cstdint>
#include <string_view>

#include "encoder/image.h"

namespace vitrine::encoder {

struct ImageLimits {
  /// Largest encoded image, in bytes.
  std::uint64_t max_bytes = 64ULL << 20;
  /// Largest width * height. Decoding takes about six bytes of memory a pixel.
  std::uint64_t max_pixels = 64'000'000;
};

/// Decodes a JPEG, PNG, WebP, BMP or TIFF image, whatever its file is called.
/// The pixels are those of Pillow's convert("RGB"): EXIF rotation is not applied, alpha is dropped
/// and not composited. docs/encoder.md lists where they differ. Safe to call from many threads.
/// Throws InvalidArgument when the bytes are not an image, are damaged or cut short, and
/// ResourceExhausted when the image exceeds the limits, which its header tells before decoding.
Image decode_image(std::string_view bytes, const ImageLimits& limits = {});

}  // namespace vitrine::encoder
