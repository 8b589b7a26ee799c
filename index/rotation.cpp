#include "index/rotation.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

namespace vitrine::index {
namespace {

constexpr std::size_t kLanes = 4;

/// The first two steps, on elements next to each other.
void first_steps(float* four) {
  const float sum_01 = four[0] + four[1];
  const float difference_01 = four[0] - four[1];
  const float sum_23 = four[2] + four[3];
  const float difference_23 = four[2] - four[3];
  four[0] = sum_01 + sum_23;
  four[1] = difference_01 + difference_23;
  four[2] = sum_01 - sum_23;
  four[3] = difference_01 - difference_23;
}

void add_and_subtract(float* low, float* high, std::size_t count) {
  float sums[kLanes];
  float differences[kLanes];
  for (std::size_t i = 0; i < count; ++i) {
    sums[i] = low[i] + high[i];
    differences[i] = low[i] - high[i];
  }
  std::copy(sums, sums + count, low);
  std::copy(differences, differences + count, high);
}

/// Not normalised: lengths grow by sqrt(size). size: a power of two.
void walsh_hadamard(float* values, std::size_t size) {
  if (size < kLanes) {
    if (size == 2) add_and_subtract(values, values + 1, 1);
    return;
  }
  for (std::size_t first = 0; first < size; first += kLanes) first_steps(values + first);
  for (std::size_t half = kLanes; half < size; half *= 2) {
    for (std::size_t first = 0; first < size; first += 2 * half) {
      for (std::size_t i = first; i < first + half; i += kLanes) {
        add_and_subtract(values + i, values + i + half, kLanes);
      }
    }
  }
}

}  // namespace

Rotation::Rotation(std::size_t dimension)
    : dimension_(dimension),
      window_(std::bit_floor(dimension)),
      signs_(window_),
      factor_(static_cast<float>(1.0 / std::sqrt(static_cast<double>(window_)))) {
  std::mt19937 random(1);
  for (float& sign : signs_) sign = random() % 2 == 0 ? 1.0F : -1.0F;
  // Each addition and each scaling errs by at most one part in 2^24 of its result, and what follows
  // is orthogonal: it passes an error on at its length. A scaling by the rounded factor adds one.
  const int windows = window_ == dimension ? 1 : 2;
  const int steps = windows * (std::bit_width(window_) + 2);
  rounding_ = 1.01 * steps * std::ldexp(1.0, -24);
}

void Rotation::apply(float* values) const {
  const auto rotate = [&](float* window) {
    // Before the second window too: what the first one spread would come together again.
    for (std::size_t i = 0; i < window_; ++i) window[i] *= signs_[i];
    walsh_hadamard(window, window_);
    for (std::size_t i = 0; i < window_; ++i) window[i] *= factor_;
  };
  rotate(values);
  if (window_ != dimension_) rotate(values + dimension_ - window_);
}

}  // namespace vitrine::index
