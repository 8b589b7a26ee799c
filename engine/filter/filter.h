#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/filter/attribute_value.h"

/// Which products a search may return, by their attributes; the vocabulary is Qdrant's
/// (docs/filters.md). filter_json.h reads one, matches.h says what it means, and attribute_index.h
/// answers it for all products of a generation at once.
namespace vitrine::engine {

// Bounds of one filter.

/// Filters within filters, the outermost included.
inline constexpr int kMaxFilterDepth = 10;
/// Conditions in all of its clauses, filters within it included.
inline constexpr std::size_t kMaxFilterConditions = 1000;
/// Values and ids in all of its conditions.
inline constexpr std::size_t kMaxFilterValues = 10000;

/// Some value of the field is one of `values`; with `except`, some value is none of them.
struct MatchCondition {
  std::string key;                     ///< path of the field, such as "size.eu"
  std::vector<AttributeValue> values;  ///< ascending, distinct
  bool except = false;
};

/// Some number of the field is within every bound that is given. At least one is, all are finite.
struct RangeCondition {
  std::string key;
  std::optional<double> gt, gte, lt, lte;

  bool contains(double number) const {
    return (!gt || number > *gt) && (!gte || number >= *gte) && (!lt || number < *lt) &&
           (!lte || number <= *lte);
  }
};

/// The field is absent, null or an empty array; not so when `wanted` is false.
struct EmptyCondition {
  std::string key;
  bool wanted = true;
};

/// The field is there and null; not so when `wanted` is false.
struct NullCondition {
  std::string key;
  bool wanted = true;
};

/// The product's id is one of these.
struct IdCondition {
  std::vector<std::string> ids;  ///< ascending, distinct
};

struct Filter;

struct Condition {
  std::variant<MatchCondition, RangeCondition, EmptyCondition, NullCondition, IdCondition,
               std::unique_ptr<const Filter>>
      test;
  std::string place;  ///< where it stands, for messages, such as "filter.must[2].range"
};

/// A product passes when it meets every clause that is there; a filter without clauses passes all.
struct Filter {
  std::vector<Condition> must;        ///< all of them
  std::vector<Condition> should;      ///< at least one; empty: no such clause
  std::vector<Condition> must_not;    ///< none of them
  std::vector<Condition> min_should;  ///< at least min_count of them
  std::size_t min_count = 0;
};

}  // namespace vitrine::engine
