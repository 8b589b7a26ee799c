#pragma once

#include <cstddef>
#include <string>
#include <string_view>

/// What the Python programs around SigLIP checkpoints do to a text first. All texts are UTF-8.
namespace vitrine::encoder {

/// Character by character: no rule looks at the neighbours.
std::string lower_each_character(std::string_view text);

/// By Python's str.lower(), which knows the final sigma.
std::string lower_whole_text(std::string_view text);

/// Removes ASCII punctuation, makes each run of what Python takes for white space one space, and
/// none at the ends. Stops once there are more than max_bytes, which the result may exceed by a
/// character.
std::string without_punctuation(std::string_view text, std::size_t max_bytes);

}  // namespace vitrine::encoder
