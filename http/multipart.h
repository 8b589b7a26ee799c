#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace vitrine::http {

/// One part of a multipart/form-data body. The views point into the body.
struct FormPart {
  std::string name;
  std::optional<std::string> file_name;  ///< set when the part is a file
  std::string content_type;              ///< empty when the part has none
  std::string_view content;
};

/// Most parts of one form.
inline constexpr std::size_t kMaxFormParts = 64;

/// RFC 7578. Throws InvalidArgument, saying what is wrong: no or malformed boundary, a part without
/// a name, a name that stands twice, a missing end, a transfer encoding, too many parts.
std::vector<FormPart> parse_multipart(std::string_view content_type, std::string_view body);

}  // namespace vitrine::http
