#include "storage/id_list.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "storage/byte_reader.h"
#include "storage/product.h"

namespace vitrine::storage {

void write_id_list(const std::filesystem::path& path, std::span<const std::string> ids) {
  std::string text;
  for (const std::string& id : ids) {
    if (const std::string fault = find_id_fault(id); !fault.empty()) {
      throw invalid_argument(fmt::format("cannot write {}: {}", path.string(), fault));
    }
    text += id;
    text += '\n';
  }
  write_file_atomically(path, text);
}

std::vector<std::string> read_id_list(const std::filesystem::path& path,
                                      std::uint64_t expected_count) {
  ByteReader reader(path);
  reader.skip_byte_order_mark();
  std::vector<std::string> ids;
  std::string line;
  for (;;) {
    const ByteReader::Line state = reader.next_line(line, kMaxIdBytes + 1);  // CRLF
    if (state == ByteReader::Line::kEnd) break;
    std::string fault = state == ByteReader::Line::kTooLong
                            ? fmt::format("it has more than {} bytes", kMaxIdBytes)
                            : find_id_fault(line);
    if (!fault.empty()) {
      throw invalid_argument(fmt::format("{}, line {}: {}; one id a line is read", path.string(),
                                         ids.size() + 1, fault));
    }
    if (ids.size() == expected_count) {
      throw invalid_argument(fmt::format("{} has more than the {} ids that are needed",
                                         path.string(), expected_count));
    }
    ids.push_back(std::move(line));
  }
  if (ids.size() != expected_count) {
    throw invalid_argument(
        fmt::format("{} has {} ids; {} are needed", path.string(), ids.size(), expected_count));
  }
  return ids;
}

}  // namespace vitrine::storage
