#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace vitrine {

/// Byte offset of the first byte that is not well-formed UTF-8 (overlong forms, surrogates and
/// values above U+10FFFF count as malformed), or nothing when all of it is well-formed.
std::optional<std::size_t> find_invalid_utf8(std::string_view text);

/// Text fit for a log line or an error message: control characters and malformed bytes become
/// "\xNN", and what exceeds max_bytes is cut and marked with "...".
std::string printable(std::string_view text, std::size_t max_bytes = 120);

}  // namespace vitrine
