#include "cli/text_lines.h"

#include <algorithm>
#include <cstdint>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"

namespace vitrine::cli {
namespace {

constexpr std::uint64_t kMaxTextsBytes = 1ull << 30;

}  // namespace

std::vector<std::string> read_lines(const std::string& path) {
  const std::string bytes = read_file(path, kMaxTextsBytes);
  std::vector<std::string> lines;
  for (std::size_t start = 0; start < bytes.size();) {
    const std::size_t end = std::min(bytes.find('\n', start), bytes.size());
    std::string line = bytes.substr(start, end - start);
    if (!line.empty() && line.back() == '\r') {
      line.pop_back();
    }
    if (find_invalid_utf8(line)) {
      throw invalid_argument(printable(path, 1000) + ":" + std::to_string(lines.size() + 1) +
                             ": not UTF-8");
    }
    lines.push_back(std::move(line));
    start = end + 1;
  }
  if (lines.empty()) {
    throw invalid_argument(printable(path, 1000) + " is empty; it must hold a text a line");
  }
  return lines;
}

}  // namespace vitrine::cli
