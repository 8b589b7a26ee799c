#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

namespace vitrine::index {

/// The largest of some hundred or thousand scores one after another, as long as few are wanted: it
/// looks at all of them once, and then at the largest of each block.
class LargestFirst {
 public:
  /// scores: at least one, none NaN; they must outlive this.
  explicit LargestFirst(std::span<float> scores) : scores_(scores) {
    for (std::size_t first = 0; first < scores.size(); first += kBlock) {
      largest_.push_back(largest_of_block(first / kBlock));
    }
  }

  /// The number of the largest, the first of equal ones. Its score is -infinity from then on.
  std::size_t take() {
    const auto block = static_cast<std::size_t>(std::max_element(largest_.begin(), largest_.end()) -
                                                largest_.begin());
    const std::span<float> scores = scores_of_block(block);
    const auto at =
        static_cast<std::size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
    scores[at] = -std::numeric_limits<float>::infinity();
    largest_[block] = largest_of_block(block);
    return block * kBlock + at;
  }

 private:
  static constexpr std::size_t kBlock = 32;

  std::span<float> scores_of_block(std::size_t block) const {
    const std::size_t first = block * kBlock;
    return scores_.subspan(first, std::min(kBlock, scores_.size() - first));
  }

  float largest_of_block(std::size_t block) const {
    const std::span<const float> scores = scores_of_block(block);
    float largest = scores[0];
#pragma omp simd reduction(max : largest)
    for (std::size_t i = 0; i < scores.size(); ++i) {
      largest = scores[i] > largest ? scores[i] : largest;
    }
    return largest;
  }

  std::span<float> scores_;
  std::vector<float> largest_;  // of each block
};

}  // namespace vitrine::index
