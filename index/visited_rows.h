#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vitrine::index {

/// The set of rows one walk has seen: a bit a row, so that it stays near the CPU, and a list of
/// them, so that forgetting them costs no pass over all.
class VisitedRows {
 public:
  explicit VisitedRows(std::size_t rows) : words_((rows + kWordBits - 1) / kWordBits, 0) {}

  void forget_all() {
    for (const std::uint32_t word : touched_) words_[word] = 0;
    touched_.clear();
  }
  /// False when the row was visited since forget_all().
  bool visit(std::size_t row) {
    std::uint64_t& word = words_[row / kWordBits];
    const std::uint64_t bit = std::uint64_t{1} << row % kWordBits;
    if ((word & bit) != 0) return false;
    if (word == 0) touched_.push_back(static_cast<std::uint32_t>(row / kWordBits));
    word |= bit;
    return true;
  }

 private:
  static constexpr std::size_t kWordBits = 64;

  std::vector<std::uint64_t> words_;
  std::vector<std::uint32_t> touched_;  // words that are not 0
};

}  // namespace vitrine::index
