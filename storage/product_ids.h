#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace vitrine::storage {

/// Writes the ids of a generation, one a line: line i+1 is row i of both indices. Throws
/// InvalidArgument for an id that find_id_fault() faults.
void write_rows(const std::filesystem::path& folder, std::span<const std::string> ids);

/// The ids of a generation by row, and the row of each id: what write_rows() wrote, used where the
/// file is mapped, with 16 to 24 bytes a row beside it. Immutable; every method may be called from
/// many threads at once.
class ProductIds {
 public:
  /// Throws Corruption when the file is malformed, names an id twice, or does not have
  /// expected_count ids.
  ProductIds(const std::filesystem::path& folder, std::uint64_t expected_count);

  std::size_t size() const { return starts_.size() - 1; }
  /// row: below size(), which is not checked.
  std::string_view at(std::size_t row) const {
    return file_.bytes().substr(starts_[row], starts_[row + 1] - starts_[row] - 1);
  }
  std::optional<std::size_t> find(std::string_view id) const;

 private:
  void find_starts(const std::filesystem::path& file, std::uint64_t expected_count);
  void fill_table(const std::filesystem::path& file);
  std::size_t slot_of(std::string_view id) const;

  MappedFile file_;
  std::vector<std::uint64_t> starts_;  // [size + 1] of each line in the file, and where it ends
  // An open hash table, at most half full, of a power of two: row + 1, or 0 where none is.
  std::vector<std::uint32_t> table_;
};

}  // namespace vitrine::storage
