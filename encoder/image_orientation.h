#pragma once

#include <string_view>

#include "encoder/image_header.h"

namespace vitrine::encoder {

/// How stored rows and columns are to be shown, as EXIF numbers it: 1 as they are; 2 mirrored left
/// to right; 3 turned by 180 degrees; 4 mirrored top to bottom; 5 transposed; 6 turned clockwise by
/// 90; 7 transposed along the other diagonal; 8 turned counter-clockwise by 90.
using Orientation = int;
inline constexpr Orientation kUpright = 1;

/// What the image's EXIF block says; kUpright when it has none, or one that is silent or damaged.
Orientation read_orientation(std::string_view bytes, const ImageHeader& header);

}  // namespace vitrine::encoder
