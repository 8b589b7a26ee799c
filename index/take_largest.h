#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

namespace vitrine::index {

/// The number of the largest, the first of equal ones, which then is the least of all. For a few
/// largest of some hundred. count: at least 1.
inline std::size_t take_largest(float* scores, std::size_t count) {
  float largest = scores[0];
#pragma omp simd reduction(max : largest)
  for (std::size_t i = 0; i < count; ++i) largest = scores[i] > largest ? scores[i] : largest;
  const auto at = static_cast<std::size_t>(std::find(scores, scores + count, largest) - scores);
  scores[at] = -std::numeric_limits<float>::infinity();
  return at;
}

}  // namespace vitrine::index
