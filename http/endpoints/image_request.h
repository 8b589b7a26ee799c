#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "http/message.h"
#include "http/multipart.h"

namespace vitrine::http {

/// A request that may bring an image.
struct ImageRequest {
  nlohmann::json fields;                   ///< as the request has them in JSON
  std::optional<std::string> image_bytes;  ///< of a form's file
};

/// The value in JSON that a field of a form has. Throws InvalidArgument that names the field.
using FormValue = nlohmann::json (*)(const FormPart& part);

/// Reads a body in JSON, or a form whose part "image" is a file and whose others are fields. Throws
/// InvalidArgument, or HttpError 415 for another Content-Type.
ImageRequest read_image_request(const Request& request, FormValue value_of);

}  // namespace vitrine::http
