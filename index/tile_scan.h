#pragma once

#include <cstddef>
#include <cstdint>

#include "index/candidates.h"
#include "index/codes.h"
#include "index/kernels/code_dot.h"

namespace vitrine::index {

constexpr std::size_t kMostTilePlaces = kMostReaching;

/// Places [first, first + count), or those of them that are listed.
struct Tile {
  std::size_t first = 0;
  std::size_t count = 0;
  bool all = true;
  std::uint64_t hits = ~std::uint64_t{0};  ///< of all: bit i is set where first + i may be a hit
  std::int32_t places[kMostTilePlaces];    ///< [count], unless all
};

/// Offers the tile's vectors of which rough scores leave it open whether they are among the k best.
void scan_tile(const CodeTable& codes, const QueryCode& query, const Tile& tile,
               Candidates& candidates);

/// The same by leading codes alone. places: of the rows, or null: they lie in their places.
void scan_tile(const LeadingRows& rows, const std::int32_t* places, const LeadingQuery& query,
               const Tile& tile, Candidates& candidates);

}  // namespace vitrine::index
