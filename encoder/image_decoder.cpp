#include "encoder/image_decoder.h"

#include <fmt/format.h>

#include <cstring>
#include <new>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "base/error.h"
#include "encoder/image_header.h"

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

}  // namespace

Image decode_image(std::string_view bytes, const ImageLimits& limits) {
  if (bytes.size() > limits.max_bytes) {
    throw resource_exhausted(fmt::format("the image has {} bytes; at most {} are allowed",
                                         bytes.size(), limits.max_bytes));
  }
  const ImageHeader header = read_image_header(bytes);
  if (header.pixels > limits.max_pixels) {
    throw resource_exhausted(fmt::format("the image has {} x {} pixels; at most {} are allowed",
                                         header.width, header.height, limits.max_pixels));
  }
  check_image_is_complete(bytes, header);
  silence_opencv();

  Image image;
  try {
    const cv::Mat encoded(1, static_cast<int>(bytes.size()), CV_8UC1,
                          const_cast<char*>(bytes.data()));
    const cv::Mat bgr = cv::imdecode(encoded, cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION);
    if (bgr.empty() || bgr.type() != CV_8UC3) {
      throw invalid_argument("damaged image: the decoder refuses it");
    }
    image.height = bgr.rows;
    image.width = bgr.cols;
    image.rgb.resize(bgr.total() * 3);
    cv::Mat rgb(bgr.rows, bgr.cols, CV_8UC3, image.rgb.data());
    cv::cvtColor(bgr, rgb, cv::COLOR_BGR2RGB);
  } catch (const cv::Exception& error) {
    if (error.code == cv::Error::StsNoMem) throw resource_exhausted("no memory for the image");
    throw invalid_argument("damaged image: the decoder refuses it");
  } catch (const std::bad_alloc&) {
    throw resource_exhausted("no memory for the image");
  }
  return image;
}

}  // namespace vitrine::encoder
