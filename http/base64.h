#pragma once

#include <string>
#include <string_view>

namespace vitrine::http {

/// RFC 4648, section 4, with padding. Throws InvalidArgument, saying at which character, for
/// anything else: white space, the URL alphabet, missing padding, non-zero bits after the end.
std::string decode_base64(std::string_view text);

std::string encode_base64(std::string_view bytes);

/// The image of a request: base64, or a data URL such as "data:image/png;base64,iVBO...".
/// what: the field it came from, for messages.
std::string decode_image_text(std::string_view text, std::string_view what);

}  // namespace vitrine::http
