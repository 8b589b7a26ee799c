#include "engine/filter/postings.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace vitrine::engine {
namespace {

std::uint64_t bitmap_word(std::span<const std::uint32_t> bitmap, std::size_t word) {
  return bitmap[2 * word] | static_cast<std::uint64_t>(bitmap[2 * word + 1]) << 32;
}

}  // namespace

bool Postings::valid() const {
  if (starts_.empty() || starts_.front() != 0 || starts_.back() != pool_.size() ||
      !std::ranges::is_sorted(starts_)) {
    return false;
  }
  for (std::size_t value = 0; value < size(); ++value) {
    const std::span<const std::uint32_t> rows = entry(value);
    if (rows.size() > bitmap_length(rows_)) return false;
    if (is_bitmap(rows)) {
      const std::size_t used = rows_ % index::RowSet::kWordBits;
      const std::uint64_t last = bitmap_word(rows, rows.size() / 2 - 1);
      if (used != 0 && last >> used != 0) return false;
    } else if (!rows.empty() &&
               (rows.back() >= rows_ ||
                std::ranges::adjacent_find(rows, std::greater_equal<>()) != rows.end())) {
      return false;
    }
  }
  return true;
}

void Postings::add_to(std::size_t value, index::RowSet& rows) const {
  const std::span<const std::uint32_t> mine = entry(value);
  if (!is_bitmap(mine)) {
    for (const std::uint32_t row : mine) rows.insert(row);
    return;
  }
  for (std::size_t word = 0; word < mine.size() / 2; ++word) {
    rows.set_word(word, rows.words()[word] | bitmap_word(mine, word));
  }
}

std::size_t Postings::count(std::size_t value, const index::RowSet* allowed) const {
  const std::span<const std::uint32_t> mine = entry(value);
  if (!is_bitmap(mine)) {
    if (allowed == nullptr) return mine.size();
    return static_cast<std::size_t>(
        std::ranges::count_if(mine, [&](std::uint32_t row) { return allowed->contains(row); }));
  }
  std::size_t count = 0;
  for (std::size_t word = 0; word < mine.size() / 2; ++word) {
    const std::uint64_t mask = allowed == nullptr ? ~std::uint64_t{0} : allowed->words()[word];
    count += static_cast<std::size_t>(std::popcount(bitmap_word(mine, word) & mask));
  }
  return count;
}

}  // namespace vitrine::engine
