#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace vitrine::engine {

/// Longest text that a filter compares, in bytes. A longer attribute equals no filter's value.
inline constexpr std::size_t kMaxFilterTextBytes = 512;
/// Longest path of a field, in bytes. Deeper attributes cannot be named.
inline constexpr std::size_t kMaxFieldPathBytes = 256;

/// A scalar, as filters compare them. A number that is an integer of 64 bits is always held as
/// one, so that 5 and 5.0 are equal and large integers stay exact; a double is finite.
using AttributeValue = std::variant<bool, std::int64_t, double, std::string>;

/// Nothing for null, an array and an object.
std::optional<AttributeValue> scalar_value(const nlohmann::json& value);

/// The JSON of a value.
nlohmann::json value_json(const AttributeValue& value);

/// The number that ranges compare: a number, or a text that is nothing but one ("12.50"; CSV has
/// no types). Nothing otherwise.
std::optional<double> range_number(const AttributeValue& value);

/// Calls visit for each scalar: the value itself, or an array's elements. What is null, an object
/// or an array within an array is passed over.
void for_each_scalar(const nlohmann::json& value,
                     const std::function<void(const AttributeValue&)>& visit);

// A field is named by its path: the keys that lead to it, joined by dots. Objects are fields too.
// {"a": {"b": 1}} and {"a.b": 1} both have the field "a.b"; a product with both has two values.

/// Calls visit(path, value) for every field of a product's attributes.
void for_each_field(
    const nlohmann::json& attributes,
    const std::function<void(const std::string& path, const nlohmann::json& value)>& visit);

/// Calls visit(value) for every place that the path leads to.
void for_each_at(const nlohmann::json& attributes, std::string_view path,
                 const std::function<void(const nlohmann::json& value)>& visit);

}  // namespace vitrine::engine
