#pragma once

#include <string_view>

#include "encoder/image_header.h"

namespace vitrine::encoder {

/// Throws InvalidArgument unless all strips or tiles of a TIFF's first page decode: OpenCV goes on
/// after one that does not, and leaves it black. header: what read_image_header() says of the
/// bytes. Takes the time of a decoding, and memory for one strip or tile. Safe to call from many
/// threads.
void check_tiff(std::string_view bytes, const ImageHeader& header);

}  // namespace vitrine::encoder
