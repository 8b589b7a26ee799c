#include "encoder/text_cleaning.h"

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include "encoder/code_points.h"

namespace vitrine::encoder {
namespace {

/// Python's set: Unicode's, and the four separators of ASCII.
bool is_space(UChar32 c) {
  return (c >= 0x1c && c <= 0x1f) || u_hasBinaryProperty(c, UCHAR_WHITE_SPACE) != 0;
}

/// All that is visible in ASCII and neither letter nor digit.
bool is_ascii_punctuation(UChar32 c) {
  const bool visible = c > 0x20 && c < 0x7f;
  return visible && !(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z');
}

}  // namespace

std::string lower_each_character(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t position = 0; position < text.size();) {
    append_lower_case(result, next_code_point(text, position));
  }
  return result;
}

std::string lower_whole_text(std::string_view text) {
  std::string result;
  icu::UnicodeString::fromUTF8(
      icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())))
      .toLower(icu::Locale::getRoot())
      .toUTF8String(result);
  return result;
}

std::string without_punctuation(std::string_view text, std::size_t max_bytes) {
  std::string result;
  bool after_space = false;
  for (std::size_t position = 0; position < text.size() && result.size() <= max_bytes;) {
    const UChar32 c = next_code_point(text, position);
    if (is_ascii_punctuation(c)) continue;
    if (is_space(c)) {
      after_space = true;
      continue;
    }
    if (after_space && !result.empty()) result += ' ';
    after_space = false;
    append_utf8(result, c);
  }
  return result;
}

}  // namespace vitrine::encoder
