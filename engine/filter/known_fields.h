#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "engine/filter/filter.h"

namespace vitrine::engine {

/// Most fields of a catalog that can be filtered: those met first, in row order.
inline constexpr std::size_t kMaxFields = 1024;

/// Which kinds of values a field has in some product.
struct FieldTypes {
  bool text = false;
  bool number = false;
  bool boolean = false;
  bool object = false;
  bool range = false;  ///< something that ranges compare: a number, or a text that is one

  FieldTypes& operator|=(const FieldTypes& other);
  bool operator==(const FieldTypes&) const = default;
};

/// The types of one attribute.
FieldTypes types_of(const nlohmann::json& value);

/// The fields that products have, so that a filter that can only be a mistake is an error rather
/// than no hits. Not thread-safe while it is added to.
class KnownFields {
 public:
  /// Adds to the field's types. Beyond kMaxFields, new fields are not taken.
  void add(const std::string& path, const FieldTypes& types);
  /// The same for all fields of a product.
  void add(const nlohmann::json& attributes);

  /// Null: no product has it.
  const FieldTypes* find(std::string_view path) const;

  /// Whether products may have fields that are not known.
  bool is_full() const { return fields_.size() >= kMaxFields; }

  /// Throws InvalidArgument that names the place, the catalog and what it has, for a condition on
  /// a field that no product has, a value of a type that the field has nowhere, and a range where
  /// the field has no number.
  void check(const Filter& filter, std::string_view catalog) const;
  /// The same for a field alone. place: where it stands, such as "facets[0]".
  void check_field(std::string_view path, std::string_view place, std::string_view catalog) const;

 private:
  void check(const Condition& condition, std::string_view catalog) const;

  std::map<std::string, FieldTypes, std::less<>> fields_;
};

}  // namespace vitrine::engine
