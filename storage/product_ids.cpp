#include "storage/product_ids.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

#include "base/error.h"
#include "base/text.h"
#include "storage/generation_store.h"
#include "storage/id_list.h"
#include "storage/product.h"

namespace vitrine::storage {
namespace {

/// Whether find_id_fault() need not look: most ids are letters and digits.
bool is_plain(std::string_view id) {
  const auto graphic = [](char byte) { return byte > ' ' && byte < '\x7f'; };
  return !id.empty() && id.size() <= kMaxIdBytes && std::ranges::all_of(id, graphic);
}

}  // namespace

void write_rows(const std::filesystem::path& folder, std::span<const std::string> ids) {
  write_id_list(folder / kRowsFile, ids);
}

ProductIds::ProductIds(const std::filesystem::path& folder, std::uint64_t expected_count)
    : file_(folder / kRowsFile) {
  find_starts(folder / kRowsFile, expected_count);
  fill_table(folder / kRowsFile);
}

void ProductIds::find_starts(const std::filesystem::path& file, std::uint64_t expected_count) {
  const std::string_view text = file_.bytes();
  // A line has two bytes at least, whatever the manifest promises.
  starts_.reserve(std::min<std::uint64_t>(expected_count, text.size() / 2) + 1);
  starts_.push_back(0);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) {
      throw corruption(file.string() + " is damaged: its last line is cut");
    }
    const std::string_view id = text.substr(begin, end - begin);
    if (!is_plain(id)) {
      if (const std::string fault = find_id_fault(id); !fault.empty()) {
        throw corruption(fmt::format("{} is damaged: row {}: {}", file.string(), size(), fault));
      }
    }
    begin = end + 1;
    starts_.push_back(begin);
  }
  if (size() != expected_count || size() >= std::numeric_limits<std::uint32_t>::max()) {
    throw corruption(fmt::format("{} is damaged: it has {} rows; the manifest counts {}",
                                 file.string(), size(), expected_count));
  }
}

/// The slot that has the id, or the free one where it would be.
std::size_t ProductIds::slot_of(std::string_view id) const {
  const std::size_t mask = table_.size() - 1;
  std::size_t slot = std::hash<std::string_view>()(id) & mask;
  while (table_[slot] != 0 && at(table_[slot] - 1) != id) slot = (slot + 1) & mask;
  return slot;
}

void ProductIds::fill_table(const std::filesystem::path& file) {
  table_.resize(std::bit_ceil(2 * size() + 1));
  for (std::size_t row = 0; row < size(); ++row) {
    std::uint32_t& place = table_[slot_of(at(row))];
    if (place != 0) {
      throw corruption(fmt::format("{} is damaged: rows {} and {} are both product \"{}\"",
                                   file.string(), place - 1, row, printable(at(row))));
    }
    place = static_cast<std::uint32_t>(row + 1);
  }
}

std::optional<std::size_t> ProductIds::find(std::string_view id) const {
  const std::uint32_t found = table_[slot_of(id)];
  if (found == 0) return std::nullopt;
  return found - 1;
}

}  // namespace vitrine::storage
