#include "engine/filter/known_fields.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"

namespace vitrine::engine {
namespace {

std::string describe(const FieldTypes& types) {
  std::string text;
  const auto add = [&text](bool there, std::string_view name) {
    if (there) text += fmt::format("{}{}", text.empty() ? "" : " and ", name);
  };
  add(types.text, "texts");
  add(types.number, "numbers");
  add(types.boolean, "booleans");
  add(types.object, "objects");
  return text.empty() ? "no value" : text;
}

std::string_view type_name(const AttributeValue& value) {
  if (std::holds_alternative<bool>(value)) return "a boolean";
  if (std::holds_alternative<std::string>(value)) return "a text";
  return "a number";
}

bool has_type_of(const FieldTypes& types, const AttributeValue& value) {
  if (std::holds_alternative<bool>(value)) return types.boolean;
  if (std::holds_alternative<std::string>(value)) return types.text;
  return types.number;
}

}  // namespace

FieldTypes& FieldTypes::operator|=(const FieldTypes& other) {
  text = text || other.text;
  number = number || other.number;
  boolean = boolean || other.boolean;
  object = object || other.object;
  range = range || other.range;
  return *this;
}

FieldTypes types_of(const nlohmann::json& value) {
  FieldTypes types;
  types.object = value.is_object();
  for_each_scalar(value, [&](const AttributeValue& scalar) {
    types.text = types.text || std::holds_alternative<std::string>(scalar);
    types.boolean = types.boolean || std::holds_alternative<bool>(scalar);
    types.number = types.number || std::holds_alternative<std::int64_t>(scalar) ||
                   std::holds_alternative<double>(scalar);
    types.range = types.range || range_number(scalar).has_value();
  });
  return types;
}

void KnownFields::add(const std::string& path, const FieldTypes& types) {
  auto found = fields_.find(path);
  if (found == fields_.end()) {
    if (is_full()) return;
    found = fields_.emplace(path, FieldTypes()).first;
  }
  found->second |= types;
}

void KnownFields::add(const nlohmann::json& attributes) {
  for_each_field(attributes, [this](const std::string& path, const nlohmann::json& value) {
    add(path, types_of(value));
  });
}

const FieldTypes* KnownFields::find(std::string_view path) const {
  const auto found = fields_.find(path);
  return found == fields_.end() ? nullptr : &found->second;
}

void KnownFields::check_field(std::string_view path, std::string_view place,
                              std::string_view catalog) const {
  if (find(path) != nullptr) return;
  constexpr std::size_t kListedBytes = 300;
  std::string names;
  for (const auto& [name, types] : fields_) {
    if (names.size() > kListedBytes) {
      names += ", ...";
      break;
    }
    names += fmt::format("{}\"{}\"", names.empty() ? "" : ", ", printable(name, 60));
  }
  throw invalid_argument(fmt::format(
      "{}: no product of catalog {} has a field \"{}\"; {}", place, catalog, printable(path, 60),
      names.empty()
          ? "they have no attributes"
          : fmt::format("{}{}",
                        is_full() ? fmt::format("the first {} fields can be used: ", kMaxFields)
                                  : "they have ",
                        names)));
}

void KnownFields::check(const Filter& filter, std::string_view catalog) const {
  for (const auto* clause : {&filter.must, &filter.should, &filter.must_not, &filter.min_should}) {
    for (const Condition& condition : *clause) check(condition, catalog);
  }
}

void KnownFields::check(const Condition& condition, std::string_view catalog) const {
  struct Checker {
    const KnownFields& fields;
    const std::string& place;
    std::string_view catalog;

    void operator()(const MatchCondition& match) const {
      const FieldTypes& types = known(match.key);
      for (const AttributeValue& value : match.values) {
        if (has_type_of(types, value)) continue;
        throw invalid_argument(
            fmt::format("{} asks for {}, but the field \"{}\" of catalog {} has {}", place,
                        type_name(value), printable(match.key, 60), catalog, describe(types)));
      }
    }
    void operator()(const RangeCondition& range) const {
      const FieldTypes& types = known(range.key);
      if (types.range) return;
      throw invalid_argument(
          fmt::format("{} needs numbers, but the field \"{}\" of catalog {} has {}", place,
                      printable(range.key, 60), catalog, describe(types)));
    }
    void operator()(const EmptyCondition& condition) const { known(condition.key); }
    void operator()(const NullCondition& condition) const { known(condition.key); }
    void operator()(const IdCondition&) const {}
    void operator()(const std::unique_ptr<const Filter>& filter) const {
      fields.check(*filter, catalog);
    }

    const FieldTypes& known(const std::string& key) const {
      fields.check_field(key, place, catalog);
      return *fields.find(key);
    }
  };
  std::visit(Checker{*this, condition.place, catalog}, condition.test);
}

}  // namespace vitrine::engine
