#pragma once

#include <string>
#include <string_view>

namespace vitrine::http {

/// Undoes percent-encoding ("+" stays "+"). Throws InvalidArgument for a malformed escape, a
/// control character, and bytes that are not UTF-8 once decoded.
std::string percent_decode(std::string_view text);

/// Makes any text one segment of a path: everything but A-Z a-z 0-9 - . _ ~ is escaped.
std::string percent_encode(std::string_view text);

/// A request target split into path and query, both as sent. Accepts origin-form ("/a?b") and
/// absolute-form ("http://host/a?b"). Throws InvalidArgument for anything else.
struct Target {
  std::string path;
  std::string query;
};
Target parse_target(std::string_view text);

}  // namespace vitrine::http
