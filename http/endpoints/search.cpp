#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/search_json.h"
#include "http/json.h"
#include "http/multipart.h"
#include "http/problem.h"

namespace vitrine::http {
namespace {

using nlohmann::json;

/// The text of a form field as the JSON value that the field has in a JSON request.
json form_value(const std::string& name, std::string_view text) {
  if (const auto offset = find_invalid_utf8(text)) {
    throw invalid_argument(
        fmt::format("the form field \"{}\" is not valid UTF-8 at byte {}", name, *offset));
  }
  if (name == "exact" || name == "calibrate" || name == "compare") {
    if (text == "true") return true;
    if (text == "false") return false;
  }
  if (name == "limit" || name == "nprobe" || name == "ef_search" || name == "rescore") {
    int number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return number;
  }
  if (name == "filter" || name == "facets") {
    return vitrine::parse_json(text, fmt::format("the form field \"{}\"", name));
  }
  if (name == "min_score" || name == "caption_weight") {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return number;
  }
  return text;
}

/// The form as a JSON request without its image, and the image's bytes.
json read_form(const Request& request, std::optional<std::string>& image_bytes) {
  json fields = json::object();
  for (const FormPart& part : parse_multipart(request.header("content-type"), request.body)) {
    if (part.name == "image") {
      image_bytes = image_file(part);
    } else if (part.file_name) {
      throw misplaced_file(part);
    } else {
      fields[part.name] = form_value(part.name, part.content);
    }
  }
  return fields;
}

engine::SearchRequest read_request(const Request& request) {
  const std::string type = media_type(request.header("content-type"));
  std::optional<std::string> image_bytes;
  json body;
  if (type == "multipart/form-data") {
    body = read_form(request, image_bytes);
  } else if (type == "application/json") {
    body = parse_json(request.body);
  } else {
    throw HttpError(415, "unsupported_media_type",
                    fmt::format("Content-Type is \"{}\"; send application/json (curl -H "
                                "'Content-Type: application/json') or multipart/form-data (curl "
                                "-F image=@file)",
                                printable(type)));
  }
  return read_search(request.path_parameter("catalog"), std::move(body), "the search request",
                     std::move(image_bytes));
}

}  // namespace

Response search(const Services& services, const Request& request) {
  const engine::SearchRequest search = read_request(request);
  return json_response(search_json(search, services.engine.search(search)));
}

}  // namespace vitrine::http
