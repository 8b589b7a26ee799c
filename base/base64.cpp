#include "base/base64.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>

#include "base/error.h"
#include "base/text.h"

namespace vitrine {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNoDigit = 0xff;

constexpr std::array<std::uint8_t, 256> make_digits() {
  std::array<std::uint8_t, 256> digits{};
  digits.fill(kNoDigit);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    digits[static_cast<std::uint8_t>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return digits;
}
constexpr std::array<std::uint8_t, 256> kDigits = make_digits();

}  // namespace

std::string decode_base64(std::string_view text) {
  std::size_t length = text.size();
  while (length > 0 && text.size() - length < 2 && text[length - 1] == '=') --length;
  for (std::size_t i = 0; i < length; ++i) {
    if (kDigits[static_cast<std::uint8_t>(text[i])] == kNoDigit) {
      throw invalid_argument(fmt::format(
          "not base64: character {} is \"{}\"; allowed are A-Z a-z 0-9 + / and = at the end", i,
          printable(text.substr(i, 1))));
    }
  }
  if (text.size() % 4 != 0) {
    throw invalid_argument(
        fmt::format("not base64: {} characters; the length must be a multiple of 4, padded with =",
                    text.size()));
  }
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  int count = 0;
  for (std::size_t i = 0; i < length; ++i) {
    bits = bits << 6 | kDigits[static_cast<std::uint8_t>(text[i])];
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes += static_cast<char>(bits >> count & 0xff);
    }
  }
  if ((bits & ((1U << count) - 1)) != 0) {
    throw invalid_argument("not base64: the last character has bits beyond the last byte");
  }
  return bytes;
}

std::string encode_base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (i + j < bytes.size() ? static_cast<std::uint8_t>(bytes[i + j]) : 0U);
    }
    const std::size_t present = bytes.size() - i;
    for (std::size_t j = 0; j < 4; ++j) {
      text += j <= present ? kAlphabet[bits >> (18 - 6 * j) & 63] : '=';
    }
  }
  return text;
}

}  // namespace vitrine
