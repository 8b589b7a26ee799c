#pragma once

#include <cstdint>
#include <vector>

namespace vitrine::encoder {

/// A decoded picture: HWC, RGB, 8 bits a channel, rows without padding.
struct Image {
  int height = 0;                 ///< pixels
  int width = 0;                  ///< pixels
  std::vector<std::uint8_t> rgb;  ///< height * width * 3 values, 0..255

  bool operator==(const Image&) const = default;
};

}  // namespace vitrine::encoder
