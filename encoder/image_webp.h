#pragma once

#include <optional>
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

/// The first frame, or nothing when the WebP is a still picture. Costs the same however many
/// frames follow. Throws InvalidArgument when it is damaged, or reaches beyond the canvas.
std::optional<WebpFrame> first_webp_frame(std::string_view bytes);

}  // namespace vitrine::encoder
