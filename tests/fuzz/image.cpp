// An encoded image, decoded within limits and prepared for an encoder. The first byte chooses the
// options: its lowest bit apply_exif_orientation, the next alpha_background.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "encoder/image_decoder.h"
#include "encoder/image_header.h"
#include "encoder/image_processor.h"
#include "tests/fuzz/target.h"

namespace vitrine::fuzz {

void run(std::string_view input) {
  static const nlohmann::json settings = {{"size", 32}, {"crop_size", 32}};
  static const auto processor =
      encoder::ImageProcessor::from_json({settings, "preprocessor_config.json", ""});
  if (input.empty()) return;
  encoder::ImageOptions options;
  options.apply_exif_orientation = (input.front() & 1) != 0;
  if ((input.front() & 2) != 0) options.alpha_background = "#ff8000";
  const std::string_view bytes = input.substr(1);
  encoder::ImageLimits limits;
  limits.max_pixels = 1 << 18;
  refusable([&] {
    const encoder::Image image = encoder::decode_image(bytes, limits, options);
    const auto pixels =
        static_cast<std::uint64_t>(image.width) * static_cast<std::uint64_t>(image.height);
    require(image.width > 0 && image.height > 0, "an image has no pixels");
    require(pixels <= limits.max_pixels, "an image exceeds the limit");
    require(image.rgb.size() == pixels * 3, "an image's values do not fit its size");
    // Of a TIFF that says it twice, the header has the larger.
    require(pixels <= encoder::read_image_header(bytes).pixels,
            "an image is larger than its header says");
    processor.check_prepared(processor.resize_and_crop(image));
  });
}

}  // namespace vitrine::fuzz
