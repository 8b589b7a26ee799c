#include "index/rotation.h"

#include <bit>
#include <cmath>
#include <random>

namespace vitrine::index {
namespace {

/// Not normalised: lengths grow by sqrt(size). size: a power of two.
void walsh_hadamard(float* values, std::size_t size) {
  for (std::size_t half = 1; half < size; half *= 2) {
    for (std::size_t first = 0; first < size; first += 2 * half) {
      float* low = values + first;
      float* high = low + half;
      for (std::size_t i = 0; i < half; ++i) {
        const float sum = low[i] + high[i];
        high[i] = low[i] - high[i];
        low[i] = sum;
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
