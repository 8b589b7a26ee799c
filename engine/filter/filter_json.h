#pragma once

#include <nlohmann/json.hpp>

#include "engine/filter/filter.h"

namespace vitrine::engine {

/// Reads the JSON form of a filter (docs/filters.md). Throws InvalidArgument that names the place,
/// such as "filter.must[2].range.gte", for an unknown key or operator, a value of the wrong type,
/// and what exceeds the bounds of filter.h. A clause that is null or an empty list is no clause; a
/// clause that is one condition is a list of one.
Filter filter_from_json(const nlohmann::json& json);

/// What filter_from_json() reads as this filter. Equal filters have equal JSON; clauses that are
/// not there are left out.
nlohmann::json filter_json(const Filter& filter);

}  // namespace vitrine::engine
