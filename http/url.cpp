#include "http/url.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "http/message.h"

namespace vitrine::http {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string percent_decode(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      result += text[i];
      continue;
    }
    const int high = i + 1 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      throw invalid_argument("the path has a malformed escape at \"" +
                             printable(text.substr(i, 3)) +
                             "\"; % must be followed by two hexadecimal digits");
    }
    result += static_cast<char>(high * 16 + low);
    i += 2;
  }
  if (std::any_of(result.begin(), result.end(),
                  [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; })) {
    throw invalid_argument("the path contains a control character: \"" + printable(result) + "\"");
  }
  if (find_invalid_utf8(result)) {
    throw invalid_argument("the path is not valid UTF-8 once decoded: \"" + printable(result) +
                           "\"");
  }
  return result;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      result += c;
    } else {
      result += '%';
      result += kHex[byte >> 4];
      result += kHex[byte & 15];
    }
  }
  return result;
}

Target parse_target(std::string_view text) {
  if (!text.starts_with('/')) {
    const std::size_t scheme = text.find("://");
    const bool absolute =
        scheme != std::string_view::npos && (equal_ignoring_case(text.substr(0, scheme), "http") ||
                                             equal_ignoring_case(text.substr(0, scheme), "https"));
    if (!absolute) {
      throw invalid_argument("the request target \"" + printable(text) +
                             "\" is not a path; it must begin with /");
    }
    text.remove_prefix(scheme + 3);
    const std::size_t path = text.find_first_of("/?");
    text = path == std::string_view::npos ? std::string_view("/") : text.substr(path);
    if (text.starts_with('?')) return {"/", std::string(text.substr(1))};
  }
  if (text.find('#') != std::string_view::npos) {
    throw invalid_argument("the request target contains #; write it as %23");
  }
  const std::size_t query = text.find('?');
  if (query == std::string_view::npos) return {std::string(text), ""};
  return {std::string(text.substr(0, query)), std::string(text.substr(query + 1))};
}

}  // namespace vitrine::http
