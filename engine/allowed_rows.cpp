#include "engine/allowed_rows.h"

#include <fmt/format.h>

#include "base/error.h"
#include "engine/filter/matches.h"

namespace vitrine::engine {
namespace {

/// Runs check(fields) with the fields of the generation, and where it throws InvalidArgument, again
/// with those that the delta's products have beside them, which are only then collected.
template <class Check>
void check_fields(const Catalog& catalog, const Check& check) {
  try {
    check(catalog.attributes().known_fields());
    return;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument || catalog.delta().live_rows() == 0) throw;
  }
  KnownFields fields = catalog.attributes().known_fields();
  const Delta& delta = catalog.delta();
  for (std::size_t row = 0; row < delta.rows(); ++row) {
    if (delta.is_live(row)) fields.add(delta.product(row).attributes);
  }
  check(fields);
}

}  // namespace

void check_group_by(const Catalog& catalog, const std::string& path) {
  if (path.empty()) return;
  check_fields(catalog, [&](const KnownFields& fields) {
    if (!fields.is_full()) fields.check_field(path, "group_by", catalog.name());
  });
}

AllowedRows allowed_rows(const Catalog& catalog, const Filter& filter) {
  check_fields(catalog, [&](const KnownFields& fields) { fields.check(filter, catalog.name()); });
  AllowedRows allowed;
  allowed.base = catalog.attributes().evaluate(
      filter, [&](std::string_view id) { return catalog.base_row_of(id); });
  if (const index::RowSet* live = catalog.delta().live_base()) allowed.base &= *live;
  allowed.delta = catalog.delta().rows_that(
      [&](const storage::Product& product) { return matches(filter, product); });
  allowed.count = allowed.base.count() + allowed.delta.count();
  return allowed;
}

std::vector<Facet> count_facets(const Catalog& catalog, const AllowedRows& allowed,
                                std::span<const std::string> fields) {
  if (fields.size() > kMaxFacets) {
    throw invalid_argument(
        fmt::format("facets names {} fields; at most {} are counted", fields.size(), kMaxFacets));
  }
  std::vector<const storage::Product*> newer;
  allowed.delta.for_each(0, allowed.delta.size(),
                         [&](std::size_t row) { newer.push_back(&catalog.delta().product(row)); });
  std::vector<Facet> facets;
  for (const std::string& field : fields) {
    check_fields(catalog, [&](const KnownFields& known) {
      known.check_field(field, fmt::format("facets[{}]", facets.size()), catalog.name());
    });
    facets.push_back(
        {field, catalog.attributes().facet(field, &allowed.base, newer, kMaxFacetValues)});
  }
  return facets;
}

}  // namespace vitrine::engine
