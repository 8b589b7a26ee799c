#pragma once

#include <cstddef>
#include <vector>

namespace vitrine::index {

/// An orthogonal transform that spreads each element over at least half of all others: signs
/// flipped in a fixed pseudo-random pattern, then the Walsh-Hadamard transform; where the dimension
/// is no power of two, of the first and then of the last 2^m elements. CLIP's embeddings have a few
/// elements far larger than the rest; rotated, all are of about one size and fit one scale of 8
/// bits. Costs dimension * log2(dimension) additions.
class Rotation {
 public:
  explicit Rotation(std::size_t dimension);

  /// values: [dimension], replaced.
  void apply(float* values) const;

  /// The length of what rounding adds to apply()'s result, at most, per length of the argument.
  double rounding() const { return rounding_; }

 private:
  std::size_t dimension_;
  std::size_t window_;        // the largest power of two that is not above the dimension
  std::vector<float> signs_;  // [window_], +1 or -1
  float factor_;              // 1 / sqrt(window_)
  double rounding_;
};

}  // namespace vitrine::index
