#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vitrine::index {

/// The set of rows one walk has seen: the number of the walk that saw a row last, in a byte, so
/// that forgetting them all is counting on.
class VisitedRows {
 public:
  explicit VisitedRows(std::size_t rows) : walks_(rows, 0) {}

  void forget_all() {
    if (++walk_ != 0) return;
    std::fill(walks_.begin(), walks_.end(), std::uint8_t{0});
    walk_ = 1;
  }

  /// False when the row was visited since forget_all().
  bool visit(std::size_t row) {
    if (walks_[row] == walk_) return false;
    walks_[row] = walk_;
    return true;
  }

  /// Visits rows up to the first negative one, and writes those that were not visited before to
  /// kept, in order; says how many these are. kept: has room for all.
  std::size_t keep_new(std::span<const std::int32_t> rows, std::int32_t* kept) {
    std::uint8_t* walks = walks_.data();
    const std::uint8_t walk = walk_;
    std::int32_t* next = kept;
    for (const std::int32_t row : rows) {
      if (row < 0) break;
      // Whether a row is new cannot be foretold: no branch.
      *next = row;
      next += walks[row] != walk ? 1 : 0;
      walks[row] = walk;
    }
    return static_cast<std::size_t>(next - kept);
  }

 private:
  std::vector<std::uint8_t> walks_;  // [rows]
  std::uint8_t walk_ = 1;            // never 0, which says that none saw a row
};

}  // namespace vitrine::index
