#pragma once

#include <nlohmann/json.hpp>
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

/// The image file that a form's part brings. Throws InvalidArgument when it is empty.
std::string image_file(const FormPart& part);
/// The text of a form's field. Throws InvalidArgument that names the field when it is a file, or
/// not UTF-8.
std::string form_text(const FormPart& part);
/// The JSON of a form's field: as text, or as a file of type application/json, which is how
/// browsers send a part that has a type. Throws InvalidArgument that names the field.
nlohmann::json form_json(const FormPart& part);

}  // namespace vitrine::http
