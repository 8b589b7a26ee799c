#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "storage/generation_store.h"
#include "storage/id_list.h"
#include "storage/product.h"

namespace vitrine::storage {

void write_rows(const std::filesystem::path& folder, std::span<const std::string> ids) {
  write_id_list(folder / kRowsFile, ids);
}

std::vector<std::string> read_rows(const std::filesystem::path& folder,
                                   std::uint64_t expected_count) {
  const std::filesystem::path file = folder / kRowsFile;
  const MappedFile map(file);
  std::string_view text = map.bytes();
  std::vector<std::string> ids;
  while (!text.empty()) {
    const std::size_t length = text.find('\n');
    if (length == std::string_view::npos) {
      throw corruption(file.string() + " is damaged: its last line is cut");
    }
    const std::string_view id = text.substr(0, length);
    if (const std::string fault = find_id_fault(id); !fault.empty()) {
      throw corruption(fmt::format("{} is damaged: row {}: {}", file.string(), ids.size(), fault));
    }
    ids.emplace_back(id);
    text.remove_prefix(length + 1);
  }
  if (ids.size() != expected_count) {
    throw corruption(fmt::format("{} is damaged: it has {} rows; the manifest counts {}",
                                 file.string(), ids.size(), expected_count));
  }
  return ids;
}

}  // namespace vitrine::storage
