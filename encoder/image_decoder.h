#pragma once

#include <string_view>

#include "encoder/image.h"
#include "encoder/image_options.h"

namespace vitrine::encoder {

/// Decodes a JPEG, PNG, WebP, BMP or TIFF image, whatever its file is called; of several frames or
/// pages the first. With the default options the pixels are those of Pillow's convert("RGB"): EXIF
/// rotation is not applied, alpha is dropped and not composited. docs/encoder.md lists where they
/// differ. Safe to call from many threads.
/// Throws InvalidArgument when the bytes are not an image, are damaged or cut short, and
/// ResourceExhausted when the image exceeds the limits, which its header tells before decoding.
Image decode_image(std::string_view bytes, const ImageLimits& limits = {},
                   const ImageOptions& options = {});

}  // namespace vitrine::encoder
