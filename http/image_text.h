#pragma once

#include <string>
#include <string_view>

namespace vitrine::http {

/// The image of a request: base64, or a data URL such as "data:image/png;base64,iVBO...".
/// what: the field it came from, for messages. Throws InvalidArgument for anything else.
std::string decode_image_text(std::string_view text, std::string_view what);

}  // namespace vitrine::http
