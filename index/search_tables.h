#pragma once

#include <cstddef>
#include <cstdint>

#include "index/codes.h"
#include "index/row_set.h"
#include "index/vector_table.h"

namespace vitrine::index {

/// The vectors of an index, as codes and in float32, in the same places. Owns nothing.
struct SearchTables {
  const CodeTable* codes = nullptr;
  const VectorTable* vectors = nullptr;
  const std::int32_t* rows = nullptr;  ///< [places] their rows, or null: the place is the row

  std::int64_t row_at(std::size_t place) const {
    return rows == nullptr ? static_cast<std::int64_t>(place) : rows[place];
  }
};

/// Places [first, first + count).
struct PlaceRange {
  std::size_t first = 0;
  std::size_t count = 0;
};

/// Which vectors may be hits.
struct Filter {
  const RowSet* allowed = nullptr;  ///< null: all
  bool by_place = false;            ///< `allowed` holds places, not rows

  /// Asked only where some are not allowed.
  bool lets_through(const SearchTables& tables, std::size_t place) const {
    return allowed->contains(by_place ? place : static_cast<std::size_t>(tables.row_at(place)));
  }
};

}  // namespace vitrine::index
