#include "base/text.h"

#include <fmt/format.h>
#include <unicode/utf8.h>

#include <cstdint>

namespace vitrine {
namespace {

/// Advances position over one code point; false when the bytes there are malformed.
bool next_code_point(std::string_view text, std::size_t& position, UChar32& code_point) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
  const auto length = static_cast<std::int64_t>(text.size());
  auto offset = static_cast<std::int64_t>(position);
  U8_NEXT(bytes, offset, length, code_point);
  position = static_cast<std::size_t>(offset);
  return code_point >= 0;
}

}  // namespace

std::optional<std::size_t> find_invalid_utf8(std::string_view text) {
  std::size_t position = 0;
  while (position < text.size()) {
    const std::size_t start = position;
    UChar32 code_point = 0;
    if (!next_code_point(text, position, code_point)) return start;
  }
  return std::nullopt;
}

std::string printable(std::string_view text, std::size_t max_bytes) {
  std::string result;
  std::size_t position = 0;
  while (position < text.size()) {
    if (result.size() >= max_bytes) return result + "...";
    const std::size_t start = position;
    UChar32 code_point = 0;
    const bool valid = next_code_point(text, position, code_point);
    const std::string_view piece = text.substr(start, position - start);
    if (valid && code_point >= 0x20 && (code_point < 0x7f || code_point > 0x9f)) {
      result += piece;
    } else {
      for (const char byte : piece) {
        result += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
      }
    }
  }
  return result;
}

}  // namespace vitrine
