#include "http/json.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "http/problem.h"

namespace vitrine::http {
using nlohmann::json;

json parse_json(std::string_view text) { return vitrine::parse_json(text, "the body"); }

json parse_json_body(const Request& request) {
  const std::string type = media_type(request.header("content-type"));
  if (type != "application/json") {
    throw HttpError(
        415, "unsupported_media_type",
        type.empty()
            ? "the request has no Content-Type; send JSON as Content-Type: application/json"
            : fmt::format("Content-Type is \"{}\"; send JSON as Content-Type: application/json",
                          printable(type)));
  }
  return parse_json(request.body);
}

void require_no_fields(const Request& request, const std::string& where) {
  if (!request.body.empty()) FieldReader(parse_json_body(request), where).finish();
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

double shortest(float value) {
  char text[32];
  const auto printed = std::to_chars(text, text + sizeof text, value);
  double result = value;
  std::from_chars(text, printed.ptr, result);
  return result;
}

std::optional<std::int64_t> integer_of(const json& value) {
  if (value.is_number_float()) {
    constexpr double kMaxExact = std::int64_t{1} << 53;
    const auto number = value.get<double>();
    if (std::abs(number) > kMaxExact || std::trunc(number) != number) return std::nullopt;
    return static_cast<std::int64_t>(number);
  }
  const bool fits = value.is_number_unsigned()
                        ? value.get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX)
                        : value.is_number_integer();
  if (!fits) return std::nullopt;
  return value.get<std::int64_t>();
}

Response json_response(const json& body, int status) {
  Response response;
  response.status = status;
  response.content_type = "application/json";
  response.body = dump(body);
  return response;
}

FieldReader::FieldReader(json object, std::string where)
    : object_(std::move(object)), where_(std::move(where)) {
  if (!object_.is_object()) {
    throw invalid_argument(
        fmt::format("{} is {}; it must be a JSON object", where_, type_of(object_)));
  }
}

json* FieldReader::take(const std::string& name) {
  known_.insert(name);
  const auto found = object_.find(name);
  if (found == object_.end() || found->is_null()) return nullptr;
  return &*found;
}

void FieldReader::wrong_type(const std::string& name, const json& found,
                             std::string_view wanted) const {
  throw invalid_argument(
      fmt::format("\"{}\" of {} is {}; it must be {}", name, where_, type_of(found), wanted));
}

bool FieldReader::has(const std::string& name) const {
  const auto found = object_.find(name);
  return found != object_.end() && !found->is_null();
}

std::optional<std::string> FieldReader::string(const std::string& name) {
  json* found = take(name);
  if (found == nullptr) return std::nullopt;
  if (!found->is_string()) wrong_type(name, *found, "a string");
  return std::move(found->get_ref<std::string&>());
}

std::optional<bool> FieldReader::boolean(const std::string& name) {
  const json* found = take(name);
  if (found == nullptr) return std::nullopt;
  if (!found->is_boolean()) wrong_type(name, *found, "true or false");
  return found->get<bool>();
}

std::optional<int> FieldReader::integer(const std::string& name, int low, int high) {
  const json* found = take(name);
  if (found == nullptr) return std::nullopt;
  if (!found->is_number()) {
    wrong_type(name, *found, fmt::format("an integer from {} to {}", low, high));
  }
  const std::optional<std::int64_t> number = integer_of(*found);
  if (!number || *number < low || *number > high) {
    throw invalid_argument(fmt::format("\"{}\" of {} is {}; it must be an integer from {} to {}",
                                       name, where_, dump(*found), low, high));
  }
  return static_cast<int>(*number);
}

std::optional<float> FieldReader::number(const std::string& name) {
  const json* const value = take(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) wrong_type(name, *value, "a number");
  const auto number = value->get<float>();
  if (!std::isfinite(number)) {
    throw invalid_argument(fmt::format("\"{}\" of {} is too large a number", name, where_));
  }
  return number;
}

std::optional<std::vector<std::string>> FieldReader::strings(const std::string& name) {
  json* found = take(name);
  if (found == nullptr) return std::nullopt;
  if (!found->is_array()) wrong_type(name, *found, "an array of strings");
  std::vector<std::string> result;
  result.reserve(found->size());
  for (json& item : *found) {
    if (!item.is_string()) {
      wrong_type(fmt::format("{}[{}]", name, result.size()), item, "a string");
    }
    result.push_back(std::move(item.get_ref<std::string&>()));
  }
  return result;
}

std::optional<json> FieldReader::value(const std::string& name) {
  json* found = take(name);
  if (found == nullptr) return std::nullopt;
  return std::move(*found);
}

void FieldReader::finish() const {
  std::string unknown;
  for (const auto& [name, value] : object_.items()) {
    if (known_.contains(name)) continue;
    unknown += fmt::format("{}\"{}\"", unknown.empty() ? "" : ", ", printable(name, 60));
    if (unknown.size() > 300) break;
  }
  if (unknown.empty()) return;
  std::string known;
  for (const std::string& name : known_) {
    known += fmt::format("{}\"{}\"", known.empty() ? "" : ", ", name);
  }
  throw invalid_argument(fmt::format("{} has unknown fields: {}; it may have {}", where_, unknown,
                                     known.empty() ? "none" : known));
}

}  // namespace vitrine::http
