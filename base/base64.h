#pragma once

#include <string>
#include <string_view>

namespace vitrine {

/// RFC 4648, section 4, with padding. Throws InvalidArgument, saying at which character, for
/// anything else: white space, the URL alphabet, missing padding, non-zero bits after the end.
std::string decode_base64(std::string_view text);

std::string encode_base64(std::string_view bytes);

}  // namespace vitrine
