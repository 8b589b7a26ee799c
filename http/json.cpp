#include "http/json.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "http/problem.h"

namespace vitrine::http {
namespace {

using nlohmann::json;

/// What nlohmann says, without its "[json.exception.parse_error.101] " in front.
std::string reason_of(const json::exception& error) {
  std::string_view text = error.what();
  const std::size_t end = text.find("] ");
  if (text.starts_with('[') && end != std::string_view::npos) text.remove_prefix(end + 2);
  return printable(text, 300);
}

}  // namespace

json parse_json(std::string_view text) {
  if (const auto offset = find_invalid_utf8(text)) {
    throw invalid_argument(fmt::format("the JSON is not valid UTF-8 at byte {}", *offset));
  }
  std::vector<std::set<std::string>> keys;
  const auto watch = [&keys](int depth, json::parse_event_t event, json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
      case json::parse_event_t::array_start:
        if (depth >= kMaxJsonDepth) {
          throw invalid_argument(
              fmt::format("the JSON is nested more than {} levels deep", kMaxJsonDepth));
        }
        keys.emplace_back();
        break;
      case json::parse_event_t::object_end:
      case json::parse_event_t::array_end:
        keys.pop_back();
        break;
      case json::parse_event_t::key: {
        const auto& key = parsed.get_ref<const std::string&>();
        if (!keys.back().insert(key).second) {
          throw invalid_argument(
              fmt::format("the JSON has the key \"{}\" twice in one object", printable(key)));
        }
        break;
      }
      case json::parse_event_t::value:
        break;
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), watch);
  } catch (const json::exception& error) {
    throw invalid_argument("the body is not valid JSON: " + reason_of(error));
  }
}

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

Response json_response(const json& body, int status) {
  Response response;
  response.status = status;
  response.content_type = "application/json";
  response.body = dump(body);
  return response;
}

std::string_view type_of(const json& value) {
  switch (value.type()) {
    case json::value_t::null:
      return "null";
    case json::value_t::object:
      return "an object";
    case json::value_t::array:
      return "an array";
    case json::value_t::string:
      return "a string";
    case json::value_t::boolean:
      return "a boolean";
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
    case json::value_t::number_float:
      return "a number";
    case json::value_t::binary:
    case json::value_t::discarded:
      break;
  }
  return "something else";
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
  const bool fits = found->is_number_unsigned()
                        ? found->get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX)
                        : found->is_number_integer();
  if (!fits || found->get<std::int64_t>() < low || found->get<std::int64_t>() > high) {
    throw invalid_argument(fmt::format("\"{}\" of {} is {}; it must be an integer from {} to {}",
                                       name, where_, dump(*found), low, high));
  }
  return found->get<int>();
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
  throw invalid_argument(
      fmt::format("{} has unknown fields: {}; it may have {}", where_, unknown, known));
}

}  // namespace vitrine::http
