#include "http/image_text.h"

#include <fmt/format.h>

#include "base/base64.h"
#include "base/error.h"
#include "http/message.h"

namespace vitrine::http {

std::string decode_image_text(std::string_view text, std::string_view what) {
  constexpr std::string_view kScheme = "data:";
  if (text.size() >= kScheme.size() &&
      equal_ignoring_case(text.substr(0, kScheme.size()), kScheme)) {
    const std::size_t comma = text.find(',');
    const std::string_view head = text.substr(0, comma);
    if (comma == std::string_view::npos || head.size() < 7 ||
        !equal_ignoring_case(head.substr(head.size() - 7), ";base64")) {
      throw invalid_argument(fmt::format(
          "{} is a data URL without base64; it must look like data:image/png;base64,...", what));
    }
    text.remove_prefix(comma + 1);
  }
  if (text.empty()) throw invalid_argument(fmt::format("{} is empty", what));
  try {
    return decode_base64(text);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{} is {}", what, error.what()));
  }
}

}  // namespace vitrine::http
