#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vitrine::index {

/// The set of rows one walk has seen: a bit a row, so that it stays near the CPU, and a list of
/// them, so that forgetting them costs no pass over all.
class VisitedRows {
 public:
  explicit VisitedRows(std::size_t rows)
      : words_((rows + kWordBits - 1) / kWordBits, 0), touched_(words_.size() + 1) {}

  void forget_all() {
    for (std::size_t i = 0; i < touched_count_; ++i) words_[touched_[i]] = 0;
    touched_count_ = 0;
  }

  /// False when the row was visited since forget_all().
  bool visit(std::size_t row) {
    std::int32_t unused;
    const auto number = static_cast<std::int32_t>(row);
    return keep_new({&number, 1}, &unused) == 1;
  }

  /// Visits rows up to the first negative one, and writes those that were not visited before to
  /// kept, in order; says how many these are. kept: has room for all.
  std::size_t keep_new(std::span<const std::int32_t> rows, std::int32_t* kept) {
    std::uint64_t* words = words_.data();
    std::uint32_t* touched = touched_.data();
    std::size_t touched_count = touched_count_;
    std::size_t count = 0;
    for (const std::int32_t row : rows) {
      if (row < 0) break;
      const std::size_t at = static_cast<std::size_t>(row) / kWordBits;
      const std::uint64_t word = words[at];
      const std::uint64_t with_row = word | std::uint64_t{1}
                                                << static_cast<std::size_t>(row) % kWordBits;
      // Whether a row is new cannot be foretold: no branch.
      touched[touched_count] = static_cast<std::uint32_t>(at);
      touched_count += static_cast<std::size_t>(word == 0);
      words[at] = with_row;
      kept[count] = row;
      count += static_cast<std::size_t>(word != with_row);
    }
    touched_count_ = touched_count;
    return count;
  }

 private:
  static constexpr std::size_t kWordBits = 64;

  std::vector<std::uint64_t> words_;
  std::vector<std::uint32_t> touched_;  // words that are not 0, and room for one more
  std::size_t touched_count_ = 0;
};

}  // namespace vitrine::index
