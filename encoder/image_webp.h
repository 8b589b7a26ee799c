#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace vitrine::encoder {

/// One frame of an animation, and where it lies on the animation's canvas, in pixels.
struct WebpFrame {
  int left = 0;
  int top = 0;
  int width = 0;
  int height = 0;
  std::string file;  ///< a WebP of this frame alone
};

enum class WebpSamples { kRgb = 3, kBgra = 4 };  ///< and how many a pixel has

/// Decodes a still WebP into pixels: row after row, [height, width, samples], 8 bits each. Without
/// alpha in the file, that of kBgra is 255. Throws InvalidArgument when the file is damaged or of
/// another size.
void decode_still_webp(std::string_view file, int height, int width, WebpSamples samples,
                       std::span<std::uint8_t> pixels);

/// The first frame, or nothing when the WebP is a still picture. Costs the same however many
/// frames follow. Throws InvalidArgument when it is damaged, or reaches beyond the canvas.
std::optional<WebpFrame> first_webp_frame(std::string_view bytes);

}  // namespace vitrine::encoder
