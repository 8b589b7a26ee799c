#include "http/endpoints/image_request.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "http/json.h"
#include "http/multipart.h"
#include "http/problem.h"

namespace vitrine::http {
namespace {

ImageRequest read_form(const Request& request, FormValue value_of) {
  ImageRequest result{nlohmann::json::object(), std::nullopt};
  for (const FormPart& part : parse_multipart(request.header("content-type"), request.body)) {
    if (part.name == "image") {
      result.image_bytes = image_file(part);
    } else if (part.file_name) {
      throw misplaced_file(part);
    } else if (const auto offset = find_invalid_utf8(part.content)) {
      throw invalid_argument(fmt::format("the form field \"{}\" is not valid UTF-8 at byte {}",
                                         printable(part.name), *offset));
    } else {
      result.fields[part.name] = value_of(part.name, part.content);
    }
  }
  return result;
}

}  // namespace

ImageRequest read_image_request(const Request& request, FormValue value_of) {
  const std::string type = media_type(request.header("content-type"));
  if (type == "multipart/form-data") return read_form(request, value_of);
  if (type == "application/json") return {parse_json(request.body), std::nullopt};
  throw HttpError(415, "unsupported_media_type",
                  fmt::format("Content-Type is \"{}\"; send application/json (curl -H "
                              "'Content-Type: application/json') or multipart/form-data (curl "
                              "-F image=@file)",
                              printable(type)));
}

nlohmann::json parse_form_json(const std::string& name, std::string_view text) {
  return vitrine::parse_json(text, fmt::format("the form field \"{}\"", name));
}

}  // namespace vitrine::http
