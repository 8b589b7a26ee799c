#include "encoder/image_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <cstddef>

#include "base/error.h"
#include "base/sha256.h"
#include "base/text.h"

namespace vitrine::encoder {

void ImageOptions::validate() const { background(); }

std::optional<Colour> ImageOptions::background() const {
  const std::string& text = alpha_background;
  if (text.empty()) return std::nullopt;
  constexpr std::size_t length = 7;
  std::uint32_t number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = text.front() == '#' && text.size() == length
                          ? std::from_chars(text.data() + 1, end, number, 16)
                          : std::from_chars_result{text.data(), std::errc::invalid_argument};
  if (parsed.ec != std::errc() || parsed.ptr != end) {
    throw invalid_argument(fmt::format(
        "image alpha_background is \"{}\"; a colour such as \"#ffffff\", or nothing, is valid",
        printable(text)));
  }
  return Colour{static_cast<std::uint8_t>(number >> 16), static_cast<std::uint8_t>(number >> 8),
                static_cast<std::uint8_t>(number)};
}

std::string ImageOptions::fingerprint(const std::string& checkpoint_fingerprint) const {
  const std::optional<Colour> colour = background();
  std::string options;
  if (apply_exif_orientation) options += "apply_exif_orientation\n";
  if (colour) options += fmt::format("alpha_background {:02x}\n", fmt::join(*colour, " "));
  if (options.empty()) return checkpoint_fingerprint;
  return to_hex(sha256(checkpoint_fingerprint + "\n" + options));
}

}  // namespace vitrine::encoder
