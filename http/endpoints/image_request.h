#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace vitrine::http {

/// A request that may bring an image.
struct ImageRequest {
  nlohmann::json fields;                   ///< as the request has them in JSON
  std::optional<std::string> image_bytes;  ///< of a form's file
};

/// The value in JSON that a field of a form has as text.
using FormValue = nlohmann::json (*)(const std::string& name, std::string_view text);

/// Reads a body in JSON, or a form whose part "image" is a file and whose others are fields. Throws
/// InvalidArgument, or HttpError 415 for another Content-Type.
ImageRequest read_image_request(const Request& request, FormValue value_of);

/// A form's field that holds JSON. Throws InvalidArgument that names the field.
nlohmann::json parse_form_json(const std::string& name, std::string_view text);

}  // namespace vitrine::http
