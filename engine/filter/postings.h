#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "index/row_set.h"

namespace vitrine::engine {

/// The rows that have each of some values, as they lie in a file. The rows of a value are a list,
/// ascending, or, where that would be as long, a bitmap over all rows: a value costs 4 bytes a row
/// that has it, and never more than a bit a row.
class Postings {
 public:
  Postings() = default;
  /// starts: [values + 1], where the rows of each value begin in pool. Not checked: see valid().
  Postings(std::span<const std::uint64_t> starts, std::span<const std::uint32_t> pool,
           std::size_t rows)
      : starts_(starts), pool_(pool), rows_(rows) {}

  /// Length of a bitmap over so many rows.
  static std::size_t bitmap_length(std::size_t rows) {
    return 2 * ((rows + index::RowSet::kWordBits - 1) / index::RowSet::kWordBits);
  }

  /// Whether every number leads where it must; nothing else may be called otherwise.
  bool valid() const;

  /// Number of values.
  std::size_t size() const { return starts_.empty() ? 0 : starts_.size() - 1; }
  /// Adds the rows of a value. rows: over as many rows. value: below size(), not checked.
  void add_to(std::size_t value, index::RowSet& rows) const;
  /// How many rows of a value are allowed; null: all are.
  std::size_t count(std::size_t value, const index::RowSet* allowed) const;

 private:
  std::span<const std::uint32_t> entry(std::size_t value) const {
    return pool_.subspan(starts_[value], starts_[value + 1] - starts_[value]);
  }
  bool is_bitmap(std::span<const std::uint32_t> entry) const {
    return !entry.empty() && entry.size() == bitmap_length(rows_);
  }

  std::span<const std::uint64_t> starts_;
  std::span<const std::uint32_t> pool_;
  std::size_t rows_ = 0;
};

}  // namespace vitrine::engine
