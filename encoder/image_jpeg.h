#pragma once

#include <string_view>

#include "encoder/image.h"
#include "encoder/image_header.h"

namespace vitrine::encoder {

/// Decodes a JPEG, gray, RGB, YCbCr, CMYK or YCCK, to Pillow's pixels. header: what
/// read_image_header() says of the bytes. Throws InvalidArgument when they are damaged, cut short
/// or not supported, and ResourceExhausted when there is no memory. Safe to call from many threads.
Image decode_jpeg(std::string_view bytes, const ImageHeader& header);

/// Whether this warning, in libjpeg's words, is of a picture of which some is made up.
bool tells_of_jpeg_damage(std::string_view warning);

}  // namespace vitrine::encoder
