#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace vitrine {

/// Deepest nesting of a JSON text that a caller sends.
inline constexpr int kMaxJsonDepth = 32;

/// Parses one JSON text of a caller. what: what the text is, for messages, such as "the body".
/// Throws InvalidArgument, saying where, for malformed JSON, malformed UTF-8, a key that stands
/// twice in one object, and nesting beyond kMaxJsonDepth. Takes time in proportion to the text.
nlohmann::json parse_json(std::string_view text, std::string_view what);

/// "a string", "a number", ... for messages.
std::string_view type_of(const nlohmann::json& value);

}  // namespace vitrine
