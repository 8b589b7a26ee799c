#include "base/json.h"

#include <fmt/format.h>

#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/text.h"

namespace vitrine {
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

json parse_json(std::string_view text, std::string_view what) {
  if (const auto offset = find_invalid_utf8(text)) {
    throw invalid_argument(fmt::format("{} is not valid UTF-8 at byte {}", what, *offset));
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
    throw invalid_argument(fmt::format("{} is not valid JSON: {}", what, reason_of(error)));
  }
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

}  // namespace vitrine
