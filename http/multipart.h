#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
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

/// The image file that a form's part brings. Throws InvalidArgument when it is empty.
std::string image_file(const FormPart& part);
/// The InvalidArgument for a file in another field than "image".
Error misplaced_file(const FormPart& part);

}  // namespace vitrine::http
