#pragma once

#include <cstddef>
#include <string>
#include <string_view>

/// What the Python programs around checkpoints do to a text first. All texts are UTF-8.
namespace vitrine::encoder {

/// Character by character: no rule looks at the neighbours.
std::string lower_each_character(std::string_view text);

/// By Python's str.lower(), which knows the final sigma.
std::string lower_whole_text(std::string_view text);

/// Removes ASCII punctuation, makes each run of what Python takes for white space one space, and
/// none at the ends. Stops once there are more than max_bytes, which the result may exceed by a
/// character.
std::string without_punctuation(std::string_view text, std::size_t max_bytes);

/// What open_clip does to every text, by ftfy.fix_text() and html.unescape(), but for mojibake:
/// character references become characters, quotation marks straight, ligatures and wide characters
/// letters; control characters and terminal escapes go. At most half as long again.
std::string repaired(std::string_view text);

/// Of what repaired() does: another number where it does something else, for embeddings of texts
/// depend on it.
inline constexpr int kRepairVersion = 1;

}  // namespace vitrine::encoder
