#include "http/message.h"

#include "base/error.h"
#include "base/text.h"

namespace vitrine::http {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

std::string_view Request::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

bool Request::has_header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return true;
  }
  return false;
}

const std::string& Request::path_parameter(std::string_view name) const {
  const auto found = path_parameters.find(name);
  if (found == path_parameters.end()) {
    throw internal_error("the route has no parameter \"" + std::string(name) + "\"");
  }
  return found->second;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = lower(c);
  return result;
}

std::string media_type(std::string_view content_type) {
  return lower_case(trimmed(content_type.substr(0, content_type.find(';'))));
}

std::optional<std::string> header_parameter(std::string_view header, std::string_view name) {
  const auto malformed = [&] {
    return invalid_argument(
        "the header value \"" + printable(header) +
        "\" is malformed; parameters look like ; name=value or ; name=\"value\"");
  };
  std::optional<std::string> result;
  std::size_t position = header.find(';');
  while (position < header.size()) {
    ++position;
    const std::size_t key_end = header.find_first_of("=;", position);
    const std::string_view key = trimmed(header.substr(
        position, key_end == std::string_view::npos ? std::string_view::npos : key_end - position));
    if (key_end == std::string_view::npos || header[key_end] == ';') {
      if (!key.empty()) throw malformed();
      position = key_end;
      continue;
    }
    position = key_end + 1;
    while (position < header.size() && (header[position] == ' ' || header[position] == '\t')) {
      ++position;
    }
    std::string value;
    if (position < header.size() && header[position] == '"') {
      ++position;
      while (position < header.size() && header[position] != '"') {
        // Browsers write a quote in a file name as %22 and leave a lone backslash as it is.
        const bool escape = header[position] == '\\' && position + 1 < header.size() &&
                            (header[position + 1] == '"' || header[position + 1] == '\\');
        if (escape) ++position;
        value += header[position++];
      }
      if (position == header.size()) throw malformed();
      position = header.find(';', position);
    } else {
      const std::size_t end = header.find(';', position);
      value = trimmed(header.substr(
          position, end == std::string_view::npos ? std::string_view::npos : end - position));
      position = end;
    }
    if (equal_ignoring_case(key, name)) {
      if (result) throw malformed();
      result = std::move(value);
    }
  }
  return result;
}

}  // namespace vitrine::http
