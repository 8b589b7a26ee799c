#include "cli/text_lines.h"

#include <cstdint>
#include <sstream>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "storage/byte_reader.h"

namespace vitrine::cli {
namespace {

constexpr std::uint64_t kMaxTextsBytes = 1ull << 30;

}  // namespace

std::vector<std::string> read_lines(const std::string& path) {
  std::istringstream bytes(read_file(path, kMaxTextsBytes));
  storage::ByteReader reader(bytes, path);
  reader.skip_byte_order_mark();
  std::vector<std::string> lines;
  for (std::string line;
       reader.next_line(line, kMaxTextsBytes) != storage::ByteReader::Line::kEnd;) {
    if (find_invalid_utf8(line)) {
      throw invalid_argument(printable(path, 1000) + ":" + std::to_string(lines.size() + 1) +
                             ": not UTF-8");
    }
    lines.push_back(std::move(line));
  }
  if (lines.empty()) {
    throw invalid_argument(printable(path, 1000) + " is empty; it must hold a text a line");
  }
  return lines;
}

}  // namespace vitrine::cli
