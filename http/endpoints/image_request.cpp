#include "http/endpoints/image_request.h"

#include <fmt/format.h>

#include "base/text.h"
#include "http/json.h"
#include "http/problem.h"

namespace vitrine::http {
namespace {

ImageRequest read_form(const Request& request, FormValue value_of) {
  ImageRequest result{nlohmann::json::object(), std::nullopt};
  for (const FormPart& part : parse_multipart(request.header("content-type"), request.body)) {
    if (part.name == "image") {
      result.image_bytes = image_file(part);
    } else {
      result.fields[part.name] = value_of(part);
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

}  // namespace vitrine::http
