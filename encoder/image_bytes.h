#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace vitrine::encoder {

inline Error damaged_image(const std::string& what) {
  return invalid_argument("damaged image: " + what);
}

/// Unsigned integers of either byte order, read from bytes that nobody vouches for: what lies
/// beyond their end throws InvalidArgument.
class ImageBytes {
 public:
  ImageBytes(std::string_view bytes, bool big_endian) : bytes_(bytes), big_endian_(big_endian) {}

  std::uint64_t size() const { return bytes_.size(); }
  std::uint32_t u8(std::uint64_t at) const { return integer(at, 1); }
  std::uint32_t u16(std::uint64_t at) const { return integer(at, 2); }
  std::uint32_t u24(std::uint64_t at) const { return integer(at, 3); }
  std::uint32_t u32(std::uint64_t at) const { return integer(at, 4); }
  bool has(std::uint64_t at, std::string_view expected) const {
    return at <= bytes_.size() && bytes_.substr(at).starts_with(expected);
  }
  std::string_view range(std::uint64_t at, std::uint64_t count) const {
    require(at, count);
    return bytes_.substr(at, count);
  }

 private:
  void require(std::uint64_t at, std::uint64_t count) const {
    if (at > bytes_.size() || bytes_.size() - at < count) throw damaged_image("it is cut short");
  }

  std::uint32_t integer(std::uint64_t at, unsigned count) const {
    require(at, count);
    std::uint32_t value = 0;
    for (unsigned i = 0; i < count; ++i) {
      const unsigned char byte = static_cast<unsigned char>(bytes_[at + i]);
      value |= static_cast<std::uint32_t>(byte) << (8 * (big_endian_ ? count - 1 - i : i));
    }
    return value;
  }

  std::string_view bytes_;
  bool big_endian_;
};

}  // namespace vitrine::encoder
