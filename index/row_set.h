#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "index/kernels/bit_count.h"

namespace vitrine::index {

/// A set of rows of [0, size()), one bit each. As thread-safe as a std::vector: const methods may
/// overlap.
class RowSet {
 public:
  static constexpr std::size_t kWordBits = 64;

  RowSet() = default;
  /// Empty.
  explicit RowSet(std::size_t size) : size_(size), words_((size + kWordBits - 1) / kWordBits, 0) {}

  /// Rows that could be members; not the number of members, which is count().
  std::size_t size() const { return size_; }
  /// Number of members; reads every word.
  std::size_t count() const { return count_bits(words_); }

  // row: below size(), which is not checked.
  bool contains(std::size_t row) const { return (words_[row / kWordBits] & bit(row)) != 0; }
  void insert(std::size_t row) { words_[row / kWordBits] |= bit(row); }
  void erase(std::size_t row) { words_[row / kWordBits] &= ~bit(row); }

  /// Makes members of all others, and of no present one.
  void invert() {
    for (std::uint64_t& word : words_) word = ~word;
    clear_unused_bits();
  }

  /// Keeps the members that are in other too. Throws InvalidArgument when the sizes differ.
  RowSet& operator&=(const RowSet& other) {
    check_size(other);
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= other.words_[i];
    return *this;
  }

  /// Adds the members of other. Throws InvalidArgument when the sizes differ.
  RowSet& operator|=(const RowSet& other) {
    check_size(other);
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
    return *this;
  }

  /// Row r is bit r % 64 of word r / 64. Bits of no row are 0.
  std::span<const std::uint64_t> words() const { return words_; }
  /// Replaces 64 rows at once; bits of no row are ignored. word: below words().size(), not checked.
  void set_word(std::size_t word, std::uint64_t bits) {
    words_[word] = bits;
    if (word + 1 == words_.size()) clear_unused_bits();
  }

  /// The rows [first, first + count), counted from 0. first + count: at most size().
  RowSet part(std::size_t first, std::size_t count) const {
    RowSet part(count);
    const std::size_t shift = first % kWordBits;
    for (std::size_t i = 0; i < part.words_.size(); ++i) {
      const std::size_t word = first / kWordBits + i;
      std::uint64_t bits = words_[word] >> shift;
      if (shift > 0 && word + 1 < words_.size()) bits |= words_[word + 1] << (kWordBits - shift);
      part.set_word(i, bits);
    }
    return part;
  }

  /// Calls visit(row) for each member in [first, last), ascending. last: at most size().
  template <class Visit>
  void for_each(std::size_t first, std::size_t last, Visit visit) const {
    for (std::size_t row = first; row < last; row = (row / kWordBits + 1) * kWordBits) {
      std::uint64_t word = words_[row / kWordBits] & (~std::uint64_t{0} << row % kWordBits);
      for (; word != 0; word &= word - 1) {
        const std::size_t member =
            row / kWordBits * kWordBits + static_cast<std::size_t>(std::countr_zero(word));
        if (member >= last) return;
        visit(member);
      }
    }
  }

  /// Calls visit(row, count, members) for each word of the rows in [first, last) that has members,
  /// ascending: row is the first of its rows, count their number, bit i of members row + i.
  /// last: at most size().
  template <class Visit>
  void for_each_word(std::size_t first, std::size_t last, Visit visit) const {
    for (std::size_t row = first; row < last;) {
      const std::size_t count = std::min(kWordBits - row % kWordBits, last - row);
      const std::uint64_t members =
          words_[row / kWordBits] >> row % kWordBits & (~std::uint64_t{0} >> (kWordBits - count));
      if (members != 0) visit(row, count, members);
      row += count;
    }
  }

  friend bool operator==(const RowSet&, const RowSet&) = default;

 private:
  static std::uint64_t bit(std::size_t row) { return std::uint64_t{1} << row % kWordBits; }

  void clear_unused_bits() {
    if (size_ % kWordBits != 0) words_.back() &= bit(size_) - 1;
  }

  void check_size(const RowSet& other) const {
    if (other.size_ != size_)
      throw invalid_argument("sets of rows of two sizes cannot be combined");
  }

  std::size_t size_ = 0;
  std::vector<std::uint64_t> words_;
};

}  // namespace vitrine::index
