#include "engine/filter/filter_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "storage/product.h"

namespace vitrine::engine {
namespace {

using nlohmann::json;

[[noreturn]] void wrong_type(const std::string& place, const json& found, std::string_view wanted) {
  throw invalid_argument(fmt::format("{} is {}; it must be {}", place, type_of(found), wanted));
}

/// Throws unless json is an object whose keys are all among `known`.
void check_keys(const json& object, const std::string& place,
                std::initializer_list<std::string_view> known) {
  if (!object.is_object()) wrong_type(place, object, "an object");
  for (const auto& [key, value] : object.items()) {
    if (std::ranges::find(known, key) != known.end()) continue;
    std::string names;
    for (const std::string_view name : known) {
      names += fmt::format("{}\"{}\"", names.empty() ? "" : ", ", name);
    }
    throw invalid_argument(fmt::format("{} has the unknown key \"{}\"; it may have {}", place,
                                       printable(key, 60), names));
  }
}

/// Null for an absent or null member.
const json* member(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

/// How many of the members are there.
std::size_t present(const json& object, std::initializer_list<const char*> keys) {
  return static_cast<std::size_t>(
      std::ranges::count_if(keys, [&](const char* key) { return member(object, key) != nullptr; }));
}

template <class T>
void sort_distinct(std::vector<T>& values) {
  std::ranges::sort(values);
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

class Parser {
 public:
  Filter parse(const json& given, const std::string& place, int depth) {
    if (depth > kMaxFilterDepth) {
      throw invalid_argument(
          fmt::format("{} is nested too deep: at most {} filters may stand one "
                      "in another",
                      place, kMaxFilterDepth));
    }
    check_keys(given, place, {"must", "should", "must_not", "min_should"});
    Filter filter;
    filter.must = clause(given, "must", place, depth);
    filter.should = clause(given, "should", place, depth);
    filter.must_not = clause(given, "must_not", place, depth);
    if (const json* min_should = member(given, "min_should")) {
      const std::string here = place + ".min_should";
      check_keys(*min_should, here, {"conditions", "min_count"});
      filter.min_should = clause(*min_should, "conditions", here, depth);
      filter.min_count = min_count(*min_should, here);
    }
    return filter;
  }

 private:
  std::vector<Condition> clause(const json& parent, const char* key,
                                const std::string& parent_place, int depth) {
    const json* given = member(parent, key);
    if (given == nullptr) return {};
    const std::string place = fmt::format("{}.{}", parent_place, key);
    std::vector<Condition> conditions;
    if (given->is_object()) {
      conditions.push_back(condition(*given, place, depth));
      return conditions;
    }
    if (!given->is_array()) wrong_type(place, *given, "a list of conditions");
    for (std::size_t i = 0; i < given->size(); ++i) {
      conditions.push_back(condition((*given)[i], fmt::format("{}[{}]", place, i), depth));
    }
    return conditions;
  }

  Condition condition(const json& given, const std::string& place, int depth) {
    if (++conditions_ > kMaxFilterConditions) {
      throw invalid_argument(fmt::format("{} is one condition too many: a filter has at most {}",
                                         place, kMaxFilterConditions));
    }
    if (!given.is_object()) wrong_type(place, given, "a condition, which is an object");
    if (given.contains("key")) return field_condition(given, place);
    if (given.contains("is_empty")) {
      check_keys(given, place, {"is_empty"});
      const std::string here = place + ".is_empty";
      return {EmptyCondition{key_of(given["is_empty"], here), true}, here};
    }
    if (given.contains("is_null")) {
      check_keys(given, place, {"is_null"});
      const std::string here = place + ".is_null";
      return {NullCondition{key_of(given["is_null"], here), true}, here};
    }
    if (given.contains("has_id")) {
      check_keys(given, place, {"has_id"});
      const std::string here = place + ".has_id";
      return {ids(given["has_id"], here), here};
    }
    if (present(given, {"must", "should", "must_not", "min_should"}) == 0) {
      throw invalid_argument(fmt::format(
          "{} is no condition; it must have \"key\" with one of \"match\", \"range\", \"is_empty\" "
          "and \"is_null\", or \"is_empty\", \"is_null\" or \"has_id\", or be a filter of its own",
          place));
    }
    return {std::make_unique<const Filter>(parse(given, place, depth + 1)), place};
  }

  Condition field_condition(const json& given, const std::string& place) {
    check_keys(given, place, {"key", "match", "range", "is_empty", "is_null"});
    if (present(given, {"match", "range", "is_empty", "is_null"}) != 1) {
      throw invalid_argument(fmt::format(
          "{} must have exactly one of \"match\", \"range\", \"is_empty\" and \"is_null\" beside "
          "its \"key\"",
          place));
    }
    std::string key = key_path(given["key"], place + ".key");
    if (const json* match = member(given, "match")) {
      const std::string here = place + ".match";
      return {match_condition(std::move(key), *match, here), here};
    }
    if (const json* range = member(given, "range")) {
      const std::string here = place + ".range";
      return {range_condition(std::move(key), *range, here), here};
    }
    if (const json* empty = member(given, "is_empty")) {
      const std::string here = place + ".is_empty";
      return {EmptyCondition{std::move(key), boolean(*empty, here)}, here};
    }
    const std::string here = place + ".is_null";
    return {NullCondition{std::move(key), boolean(*member(given, "is_null"), here)}, here};
  }

  MatchCondition match_condition(std::string key, const json& given, const std::string& place) {
    check_keys(given, place, {"value", "any", "except"});
    if (present(given, {"value", "any", "except"}) != 1) {
      throw invalid_argument(
          fmt::format("{} must have exactly one of \"value\", \"any\" and \"except\"", place));
    }
    MatchCondition match;
    match.key = std::move(key);
    if (const json* one = member(given, "value")) {
      match.values.push_back(value(*one, place + ".value"));
      return match;
    }
    match.except = member(given, "except") != nullptr;
    const char* name = match.except ? "except" : "any";
    const std::string here = fmt::format("{}.{}", place, name);
    const json& list = given[name];
    if (!list.is_array()) wrong_type(here, list, "a list of strings, numbers and booleans");
    for (std::size_t i = 0; i < list.size(); ++i) {
      match.values.push_back(value(list[i], fmt::format("{}[{}]", here, i)));
    }
    sort_distinct(match.values);
    return match;
  }

  static RangeCondition range_condition(std::string key, const json& given,
                                        const std::string& place) {
    check_keys(given, place, {"gt", "gte", "lt", "lte"});
    if (present(given, {"gt", "gte", "lt", "lte"}) == 0) {
      throw invalid_argument(
          fmt::format("{} must have at least one of \"gt\", \"gte\", \"lt\" and \"lte\"", place));
    }
    const auto bound = [&](const char* name) -> std::optional<double> {
      const json* found = member(given, name);
      if (found == nullptr) return std::nullopt;
      if (!found->is_number()) wrong_type(fmt::format("{}.{}", place, name), *found, "a number");
      return found->get<double>();
    };
    return {std::move(key), bound("gt"), bound("gte"), bound("lt"), bound("lte")};
  }

  IdCondition ids(const json& given, const std::string& place) {
    if (!given.is_array()) wrong_type(place, given, "a list of product ids");
    IdCondition condition;
    for (std::size_t i = 0; i < given.size(); ++i) {
      const std::string here = fmt::format("{}[{}]", place, i);
      count_value(here);
      const json& id = given[i];
      if (id.is_number_integer()) {
        condition.ids.push_back(id.dump());  // a catalog's id may be an integer too
      } else if (id.is_string()) {
        condition.ids.push_back(text(id, here, storage::kMaxIdBytes));
      } else {
        wrong_type(here, id, "a product id, which is a string");
      }
    }
    sort_distinct(condition.ids);
    return condition;
  }

  AttributeValue value(const json& given, const std::string& place) {
    count_value(place);
    if (given.is_string()) return text(given, place, kMaxFilterTextBytes);
    std::optional<AttributeValue> scalar = scalar_value(given);
    if (!scalar) wrong_type(place, given, "a string, a number or a boolean");
    return std::move(*scalar);
  }

  void count_value(const std::string& place) {
    if (++values_ > kMaxFilterValues) {
      throw invalid_argument(fmt::format("{} is one value too many: a filter has at most {}", place,
                                         kMaxFilterValues));
    }
  }

  static std::string text(const json& given, const std::string& place, std::size_t max_bytes) {
    const auto& text = given.get_ref<const std::string&>();
    if (text.size() > max_bytes) {
      throw invalid_argument(
          fmt::format("{} has {} bytes; at most {} are allowed", place, text.size(), max_bytes));
    }
    return text;
  }

  static std::string key_path(const json& given, const std::string& place) {
    if (!given.is_string()) wrong_type(place, given, "the name of a field, which is a string");
    std::string key = text(given, place, kMaxFieldPathBytes);
    if (key.empty()) throw invalid_argument(place + " is empty; it must name a field");
    return key;
  }

  /// The field of {"key": "name"}.
  static std::string key_of(const json& given, const std::string& place) {
    check_keys(given, place, {"key"});
    const json* key = member(given, "key");
    if (key == nullptr) throw invalid_argument(place + R"( must have the form {"key": "field"})");
    return key_path(*key, place + ".key");
  }

  static bool boolean(const json& given, const std::string& place) {
    if (!given.is_boolean()) wrong_type(place, given, "true or false");
    return given.get<bool>();
  }

  static std::size_t min_count(const json& min_should, const std::string& place) {
    const json* given = member(min_should, "min_count");
    if (given == nullptr) throw invalid_argument(place + " must have \"min_count\", an integer");
    if (!given->is_number_unsigned() || given->get<std::uint64_t>() > kMaxFilterConditions) {
      throw invalid_argument(
          fmt::format("{}.min_count must be an integer from 0 to {}", place, kMaxFilterConditions));
    }
    return given->get<std::size_t>();
  }

  std::size_t conditions_ = 0;
  std::size_t values_ = 0;
};

/// The JSON of one test of a condition.
struct PrintTest {
  json operator()(const MatchCondition& match) const {
    json values = json::array();
    for (const AttributeValue& value : match.values) values.push_back(value_json(value));
    return {{"key", match.key}, {"match", {{match.except ? "except" : "any", std::move(values)}}}};
  }
  json operator()(const RangeCondition& range) const {
    json bounds = json::object();
    const auto add = [&bounds](const char* name, const std::optional<double>& bound) {
      if (bound) bounds[name] = *bound;
    };
    add("gt", range.gt);
    add("gte", range.gte);
    add("lt", range.lt);
    add("lte", range.lte);
    return {{"key", range.key}, {"range", std::move(bounds)}};
  }
  json operator()(const EmptyCondition& empty) const {
    return {{"key", empty.key}, {"is_empty", empty.wanted}};
  }
  json operator()(const NullCondition& null) const {
    return {{"key", null.key}, {"is_null", null.wanted}};
  }
  json operator()(const IdCondition& ids) const { return {{"has_id", ids.ids}}; }
  json operator()(const std::unique_ptr<const Filter>& filter) const {
    return filter_json(*filter);
  }
};

json clause_json(const std::vector<Condition>& conditions) {
  json list = json::array();
  for (const Condition& condition : conditions) {
    list.push_back(std::visit(PrintTest(), condition.test));
  }
  return list;
}

}  // namespace

json filter_json(const Filter& filter) {
  json clauses = json::object();
  if (!filter.must.empty()) clauses["must"] = clause_json(filter.must);
  if (!filter.should.empty()) clauses["should"] = clause_json(filter.should);
  if (!filter.must_not.empty()) clauses["must_not"] = clause_json(filter.must_not);
  if (filter.min_count > 0 || !filter.min_should.empty()) {
    clauses["min_should"] = {{"conditions", clause_json(filter.min_should)},
                             {"min_count", filter.min_count}};
  }
  return clauses;
}

Filter filter_from_json(const json& json) { return Parser().parse(json, "filter", 1); }

}  // namespace vitrine::engine
