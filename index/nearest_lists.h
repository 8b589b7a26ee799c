#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "index/top_k.h"

namespace vitrine::index {

/// Lists to make of so many vectors. wanted: IndexSpec::nlist.
inline std::size_t number_of_lists(std::size_t vectors, int wanted) {
  const auto lists =
      wanted > 0
          ? static_cast<std::size_t>(wanted)
          : static_cast<std::size_t>(std::lround(4.0 * std::sqrt(static_cast<double>(vectors))));
  return std::clamp<std::size_t>(lists, 1, vectors);
}

/// The nprobe lists of the highest scores, best first, and as many more as it takes to see so many
/// wanted rows. nprobe: at most scores.size(). rows_in(list): wanted rows in a list.
template <class RowsIn>
std::vector<std::size_t> nearest_lists(std::span<const float> scores, std::size_t nprobe,
                                       std::size_t wanted, RowsIn rows_in) {
  std::vector<Hit> order(scores.size());
  for (std::size_t list = 0; list < order.size(); ++list) {
    order[list] = {scores[list], static_cast<std::int64_t>(list)};
  }
  const auto middle = order.begin() + static_cast<std::ptrdiff_t>(nprobe);
  std::partial_sort(order.begin(), middle, order.end(), better);
  std::vector<std::size_t> nearest;
  std::size_t rows = 0;
  for (std::size_t i = 0; i < order.size() && (i < nprobe || rows < wanted); ++i) {
    if (i == nprobe) std::sort(middle, order.end(), better);
    nearest.push_back(static_cast<std::size_t>(order[i].row));
    if (rows < wanted) rows += rows_in(nearest.back());
  }
  return nearest;
}

}  // namespace vitrine::index
