#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace vitrine::encoder {

/// What is refused before it costs anything.
struct ImageLimits {
  /// Largest encoded image, in bytes.
  std::uint64_t max_bytes = 64ULL << 20;
  /// Largest width * height. Decoding takes about six bytes of memory a pixel.
  std::uint64_t max_pixels = 64'000'000;
};

using Colour = std::array<std::uint8_t, 3>;  ///< RGB

/// How a picture becomes pixels. The defaults are what the reference does; whatever else is chosen
/// changes embeddings, and with them the encoder's fingerprint.
struct ImageOptions {
  /// Turns the picture upright, as its EXIF orientation says (JPEG, PNG, WebP; TIFF is turned
  /// always). Damaged EXIF counts as none. Costs one more copy of the pixels.
  bool apply_exif_orientation = false;
  /// The colour behind transparent pixels, as "#rrggbb". Empty: alpha is dropped, and what shows is
  /// the colour that the file holds under the transparency, often black.
  std::string alpha_background;

  /// Throws InvalidArgument that names the field.
  void validate() const;
  /// alpha_background as a number. Throws as validate() does.
  std::optional<Colour> background() const;
  /// The fingerprint of an encoder: the checkpoint's for the default options, else another one that
  /// depends on both. 64 hexadecimal digits, as the given one.
  std::string fingerprint(const std::string& checkpoint_fingerprint) const;
};

}  // namespace vitrine::encoder
