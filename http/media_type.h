#pragma once

#include <string_view>

namespace vitrine::http {

/// The media type of an image by its first bytes: JPEG, PNG, GIF, WebP, BMP or TIFF. Anything else,
/// SVG included, is "application/octet-stream", which no browser renders.
std::string_view sniff_image_type(std::string_view bytes);

}  // namespace vitrine::http
