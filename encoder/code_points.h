#pragma once

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace vitrine::encoder {

inline void append_utf8(std::string& text, UChar32 code_point) {
  std::array<char, 4> buffer{};
  std::int32_t length = 0;
  U8_APPEND_UNSAFE(buffer.data(), length, code_point);
  text.append(buffer.data(), static_cast<std::size_t>(length));
}

/// The code point at `position`, which moves behind it. The text must be well-formed.
inline UChar32 next_code_point(std::string_view text, std::size_t& position) {
  UChar32 code_point = 0;
  U8_NEXT_UNSAFE(text.data(), position, code_point);
  return code_point;
}

/// The code point before `position`, which is not at the beginning. The text must be well-formed.
inline UChar32 previous_code_point(std::string_view text, std::size_t position) {
  UChar32 code_point = 0;
  U8_PREV_UNSAFE(text.data(), position, code_point);
  return code_point;
}

/// Appends the character's lower case, whatever its neighbours are.
inline void append_lower_case(std::string& text, UChar32 code_point) {
  if (code_point == 0x130) {  // the one character whose lower case is two
    text += "i\xcc\x87";
  } else {
    append_utf8(text, u_tolower(code_point));
  }
}

}  // namespace vitrine::encoder
