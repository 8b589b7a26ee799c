#include "encoder/image_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <optional>
#include <utility>

#include "base/error.h"
#include "encoder/image_bytes.h"
#include "encoder/image_header.h"
#include "encoder/image_jpeg.h"
#include "encoder/image_orientation.h"
#include "encoder/image_tiff.h"
#include "encoder/image_webp.h"

namespace vitrine::encoder {
namespace {

int ignore_opencv_error(int, const char*, const char*, const char*, int, void*) { return 0; }

/// OpenCV prints what it throws; a damaged image is the caller's affair, not the terminal's.
void silence_opencv() {
  static const bool silenced = [] {
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    cv::redirectError(ignore_opencv_error);
    return true;
  }();
  static_cast<void>(silenced);
}

/// OpenCV's picture: BGR, or BGRA when alpha is asked for and is there.
cv::Mat decode_with_opencv(std::string_view bytes, int flags) {
  silence_opencv();
  const cv::Mat encoded(1, static_cast<int>(bytes.size()), CV_8UC1,
                        const_cast<char*>(bytes.data()));
  cv::Mat picture = cv::imdecode(encoded, flags);
  if (picture.empty()) throw damaged_image("the decoder refuses it");
  return picture;
}

Image image_of_size(int height, int width) {
  Image image{height, width, {}};
  image.rgb.resize(static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * 3);
  return image;
}

cv::Mat view_of(Image& image) { return {image.height, image.width, CV_8UC3, image.rgb.data()}; }

/// Sample: 8 or 16 bits, of which the high byte counts.
/// premultiplied: the colours are multiplied by alpha already.
template <typename Sample>
Image composite(const cv::Mat& bgra, const Colour& background, bool premultiplied) {
  constexpr int shift = 8 * (sizeof(Sample) - 1);
  Image image = image_of_size(bgra.rows, bgra.cols);
  std::uint8_t* rgb = image.rgb.data();
  for (int y = 0; y < bgra.rows; ++y) {
    const auto* pixel = bgra.ptr<Sample>(y);
    for (int x = 0; x < bgra.cols; ++x, pixel += 4) {
      const int alpha = pixel[3] >> shift;
      for (std::size_t c = 0; c < 3; ++c) {
        const int value = pixel[2 - c] >> shift;
        const int sum = value * (premultiplied ? 255 : alpha) + background[c] * (255 - alpha);
        *rgb++ = static_cast<std::uint8_t>(std::min((sum + 127) / 255, 255));
      }
    }
  }
  return image;
}

Image decode_other(std::string_view bytes, const ImageHeader& header,
                   const std::optional<Colour>& background) {
  if (background && header.alpha) {
    const cv::Mat picture = decode_with_opencv(bytes, cv::IMREAD_UNCHANGED);
    // libtiff multiplies 8-bit colours by alpha.
    const bool premultiplied = header.format == ImageFormat::kTiff;
    if (picture.type() == CV_8UC4) {
      return composite<std::uint8_t>(picture, *background, premultiplied);
    }
    if (picture.type() == CV_16UC4) return composite<std::uint16_t>(picture, *background, false);
  }
  const cv::Mat bgr = decode_with_opencv(bytes, cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION);
  if (bgr.type() != CV_8UC3) throw damaged_image("the decoder refuses it");
  Image image = image_of_size(bgr.rows, bgr.cols);
  cv::cvtColor(bgr, view_of(image), cv::COLOR_BGR2RGB);
  return image;
}

/// background: what shows through, where the file has alpha and it counts.
Image decode_still(std::string_view file, int height, int width,
                   const std::optional<Colour>& background) {
  if (!background) {
    Image image = image_of_size(height, width);
    decode_still_webp(file, height, width, WebpSamples::kRgb, image.rgb);
    return image;
  }
  cv::Mat bgra(height, width, CV_8UC4);
  decode_still_webp(file, height, width, WebpSamples::kBgra,
                    {bgra.data, bgra.total() * bgra.elemSize()});
  return composite<std::uint8_t>(bgra, *background, false);
}

Image decode_webp(std::string_view bytes, const ImageHeader& header,
                  const std::optional<Colour>& background) {
  const auto height = static_cast<int>(header.height);
  const auto width = static_cast<int>(header.width);
  const std::optional<WebpFrame> frame = first_webp_frame(bytes);
  if (!frame) {
    return decode_still(bytes, height, width, header.alpha ? background : std::nullopt);
  }
  Image picture = decode_still(frame->file, frame->height, frame->width, background);
  Image canvas = image_of_size(height, width);
  cv::Mat target = view_of(canvas);
  if (background) target.setTo(cv::Scalar((*background)[0], (*background)[1], (*background)[2]));
  view_of(picture).copyTo(target(cv::Rect(frame->left, frame->top, frame->width, frame->height)));
  return canvas;
}

Image decode(std::string_view bytes, const ImageHeader& header,
             const std::optional<Colour>& background) {
  switch (header.format) {
    case ImageFormat::kJpeg:
      return decode_jpeg(bytes, header);
    case ImageFormat::kWebp:
      return decode_webp(bytes, header, background);
    case ImageFormat::kTiff:
      check_tiff(bytes, header);
      break;
    case ImageFormat::kPng:
    case ImageFormat::kBmp:
      break;
  }
  return decode_other(bytes, header, background);
}

/// The stored picture as it is to be shown.
Image turned(Image stored, Orientation orientation) {
  if (orientation == kUpright) return stored;
  const bool transposed = orientation >= 5;
  Image shown = transposed ? image_of_size(stored.width, stored.height)
                           : image_of_size(stored.height, stored.width);
  const cv::Mat target = view_of(shown);
  if (transposed) {
    cv::transpose(view_of(stored), target);
  } else {
    view_of(stored).copyTo(target);
  }
  constexpr int top_to_bottom = 0, left_to_right = 1, both = -1;
  switch (orientation) {
    case 2:
    case 6:
      cv::flip(target, target, left_to_right);
      break;
    case 3:
    case 7:
      cv::flip(target, target, both);
      break;
    case 4:
    case 8:
      cv::flip(target, target, top_to_bottom);
      break;
    default:  // 5: transposed, and no more
      break;
  }
  return shown;
}

}  // namespace

Image decode_image(std::string_view bytes, const ImageLimits& limits, const ImageOptions& options) {
  if (bytes.size() > limits.max_bytes) {
    throw resource_exhausted(fmt::format("the image has {} bytes; at most {} are allowed",
                                         bytes.size(), limits.max_bytes));
  }
  const ImageHeader header = read_image_header(bytes);
  if (header.width * header.height > limits.max_pixels) {
    throw resource_exhausted(fmt::format("the image has {} x {} pixels; at most {} are allowed",
                                         header.width, header.height, limits.max_pixels));
  }
  if (header.pixels > limits.max_pixels) {
    throw resource_exhausted(
        fmt::format("the tiles or strips of the image have {} pixels; at most {} are allowed",
                    header.pixels, limits.max_pixels));
  }
  check_image_is_complete(bytes, header);
  try {
    Image image = decode(bytes, header, options.background());
    if (!options.apply_exif_orientation) return image;
    return turned(std::move(image), read_orientation(bytes, header));
  } catch (const cv::Exception& error) {
    if (error.code == cv::Error::StsNoMem) throw resource_exhausted("no memory for the image");
    throw damaged_image("the decoder refuses it");
  } catch (const std::bad_alloc&) {
    throw resource_exhausted("no memory for the image");
  }
}

}  // namespace vitrine::encoder
