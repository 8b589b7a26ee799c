#include "engine/filter/attribute_value.h"

#include <charconv>
#include <cmath>
#include <limits>

namespace vitrine::engine {
namespace {

using nlohmann::json;

/// Longest text that is tried as a number.
constexpr std::size_t kMaxNumberBytes = 64;

AttributeValue number_value(double number) {
  constexpr double kTwoTo63 = 9223372036854775808.0;
  if (number >= -kTwoTo63 && number < kTwoTo63 && number == std::trunc(number)) {
    return static_cast<std::int64_t>(number);
  }
  return number;
}

std::optional<double> number_of(std::string_view text) {
  if (text.empty() || text.size() > kMaxNumberBytes) return std::nullopt;
  // from_chars takes "inf" and "nan" too.
  const char first = text.front() == '-' && text.size() > 1 ? text[1] : text.front();
  if (first < '0' || first > '9') return std::nullopt;
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

void visit_object(const json& object, const std::string& prefix,
                  const std::function<void(const std::string& path, const json& value)>& visit) {
  for (const auto& [key, value] : object.items()) {
    const std::string path = prefix + key;
    // A path grows by a byte a level at least, which bounds the recursion.
    if (path.size() > kMaxFieldPathBytes) continue;
    if (!path.empty()) visit(path, value);
    if (value.is_object()) visit_object(value, path + ".", visit);
  }
}

}  // namespace

std::optional<AttributeValue> scalar_value(const json& value) {
  switch (value.type()) {
    case json::value_t::string:
      return value.get_ref<const std::string&>();
    case json::value_t::boolean:
      return value.get<bool>();
    case json::value_t::number_integer:
      return value.get<std::int64_t>();
    case json::value_t::number_unsigned: {
      const auto number = value.get<std::uint64_t>();
      if (number <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return static_cast<std::int64_t>(number);
      }
      return static_cast<double>(number);
    }
    case json::value_t::number_float: {
      const auto number = value.get<double>();
      if (!std::isfinite(number)) return std::nullopt;
      return number_value(number);
    }
    case json::value_t::null:
    case json::value_t::object:
    case json::value_t::array:
    case json::value_t::binary:
    case json::value_t::discarded:
      break;
  }
  return std::nullopt;
}

json value_json(const AttributeValue& value) {
  return std::visit([](const auto& scalar) { return json(scalar); }, value);
}

std::optional<double> range_number(const AttributeValue& value) {
  if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    return static_cast<double>(*integer);
  }
  if (const auto* number = std::get_if<double>(&value)) return *number;
  if (const auto* text = std::get_if<std::string>(&value)) return number_of(*text);
  return std::nullopt;
}

void for_each_scalar(const json& value, const std::function<void(const AttributeValue&)>& visit) {
  if (!value.is_array()) {
    if (const auto scalar = scalar_value(value)) visit(*scalar);
    return;
  }
  for (const json& element : value) {
    if (const auto scalar = scalar_value(element)) visit(*scalar);
  }
}

void for_each_field(const json& attributes,
                    const std::function<void(const std::string& path, const json& value)>& visit) {
  if (attributes.is_object()) visit_object(attributes, "", visit);
}

void for_each_at(const json& attributes, std::string_view path,
                 const std::function<void(const json& value)>& visit) {
  if (!attributes.is_object()) return;
  if (const auto found = attributes.find(path); found != attributes.end()) visit(*found);
  for (std::size_t dot = path.find('.'); dot != std::string_view::npos;
       dot = path.find('.', dot + 1)) {
    const auto found = attributes.find(path.substr(0, dot));
    if (found != attributes.end()) for_each_at(*found, path.substr(dot + 1), visit);
  }
}

}  // namespace vitrine::engine
