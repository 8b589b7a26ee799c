#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace vitrine::index {

// What bounds on scores count with.

/// Half a unit in the last place of 1, in float32: what rounding loses of 1 at most.
constexpr double kUnit = 0x1p-24;
/// Vectors' lengths are 1 within 1e-3 (VectorIndex), or less. A little more, for what measuring
/// them lost.
constexpr double kMostLength = 1.0015;

/// Where all elements of a vector are smaller they count as zero: steps must be finite.
constexpr float kLeastElement = 1e-30F;

/// The nearest whole number. value: of a magnitude below 2^22.
inline float rounded(float value) {
  constexpr float kRounder = 1.5F * (1 << 23);  // drops what is behind the point
  return (value + kRounder) - kRounder;
}

/// The next float32 above. value: finite, not negative.
inline float rounded_up(double value) {
  // As std::nextafter() says, whose call takes as long as many a bound.
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(static_cast<float>(value)) + 1);
}

/// Of a vector, a range of float or double: in double, whose rounding the bounds' margins cover.
template <typename Vector>
double length_of(const Vector& vector) {
  double square = 0;
  for (const auto value : vector) square += static_cast<double>(value) * value;
  return std::sqrt(square);
}

/// A sum of so many squares at most, from that sum in float32, which errs by a part in 2^24 for
/// each.
inline double sum_at_most(double sum, std::size_t count) {
  return sum * (1 + static_cast<double>(count + 2) * kUnit);
}

/// The larger of a number and 0, without a branch: where that goes either way, the CPU would find
/// out only when the number is known, and throw away what it has begun meanwhile.
inline double positive_part(double x) { return (x + std::abs(x)) / 2; }

}  // namespace vitrine::index
