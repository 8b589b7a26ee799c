#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/image_request.h"
#include "http/endpoints/search_json.h"
#include "http/json.h"

namespace vitrine::http {
namespace {

using nlohmann::json;

json form_value(const FormPart& part) {
  const std::string& name = part.name;
  if (name == "filter" || name == "facets") return form_json(part);
  const std::string text = form_text(part);
  if (name == "exact" || name == "calibrate" || name == "compare") {
    if (text == "true") return true;
    if (text == "false") return false;
  }
  if (name == "limit" || name == "nprobe" || name == "ef_search" || name == "rescore") {
    int number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return number;
  }
  if (name == "min_score" || name == "caption_weight") {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return number;
  }
  return text;
}

}  // namespace

Response search(const Services& services, const Request& request) {
  ImageRequest given = read_image_request(request, form_value);
  const engine::SearchRequest search =
      read_search(request.path_parameter("catalog"), std::move(given.fields), "the search request",
                  std::move(given.image_bytes));
  return json_response(search_json(search, services.engine.search(search)));
}

}  // namespace vitrine::http
