#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/catalog.h"
#include "engine/filter/attribute_index.h"
#include "engine/filter/filter.h"
#include "index/row_set.h"

namespace vitrine::engine {

/// Most fields whose values one search counts.
inline constexpr std::size_t kMaxFacets = 20;
/// Most values that are listed of each.
inline constexpr std::size_t kMaxFacetValues = 100;

/// The products of a snapshot that a filter lets through.
struct AllowedRows {
  index::RowSet base;     ///< live rows of the generation
  index::RowSet delta;    ///< live rows of the delta
  std::size_t count = 0;  ///< of both
};

/// The values of a field among the products that a filter lets through.
struct Facet {
  std::string field;
  std::vector<FacetValue> values;  ///< most frequent first, at most kMaxFacetValues
};

/// Throws InvalidArgument for a path to group hits by that no product has. Empty: no grouping.
/// Grouping reads the products themselves, so that it needs no field to be among those indexed.
void check_group_by(const Catalog& catalog, const std::string& path);

/// Throws InvalidArgument as KnownFields::check() does.
AllowedRows allowed_rows(const Catalog& catalog, const Filter& filter);

/// One a field. Throws InvalidArgument for more than kMaxFacets fields, or one that no product has.
std::vector<Facet> count_facets(const Catalog& catalog, const AllowedRows& allowed,
                                std::span<const std::string> fields);

}  // namespace vitrine::engine
