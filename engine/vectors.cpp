#include "engine/vectors.h"

#include <fmt/format.h>

#include <cmath>
#include <cstddef>

namespace vitrine::engine {

bool normalise_row(std::span<float> row) {
  double squares = 0;
  for (const float value : row) squares += static_cast<double>(value) * value;
  const double length = std::sqrt(squares);
  if (!std::isfinite(length) || length < 1e-12) return false;
  for (float& value : row) value = static_cast<float>(value / length);
  return true;
}

std::string make_unit(std::span<float> row) {
  double squares = 0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (!std::isfinite(row[i])) return fmt::format("value {} is not finite", i);
    squares += static_cast<double>(row[i]) * row[i];
  }
  // What rounding each value of a unit row to float32 does to the sum at most, twice.
  constexpr double kTolerance = 0x1p-22;
  if (std::abs(squares - 1) <= kTolerance || normalise_row(row)) return {};
  return "all its values are 0, or nearly";
}

float dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return static_cast<float>(sum);
}

}  // namespace vitrine::engine
