#include "encoder/image_processor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "base/file.h"

// Pillow's resize (src/libImaging/Resample.c) is followed to the bit: float64 weights turned into
// 22-bit fixed point, integer sums, 8 bits between the horizontal and the vertical pass.

namespace vitrine::encoder {
namespace {

constexpr int kPrecisionBits = 22;
constexpr int kMaxSide = 4096;
constexpr int kBicubic = 3;  // Pillow's number
constexpr std::uint64_t kMaxConfigBytes = 1 << 20;

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

/// The input samples one output sample is made of, and their fixed-point weights.
struct Window {
  std::int64_t first = 0;
  std::vector<int> weights;
};

/// Windows of the output samples [start, start + count) of a pass from in_size to out_size samples.
std::vector<Window> make_windows(std::int64_t in_size, std::int64_t out_size, std::int64_t start,
                                 std::int64_t count) {
  const double scale = static_cast<double>(in_size) / static_cast<double>(out_size);
  const double filter_scale = std::max(scale, 1.0);
  const double support = 2.0 * filter_scale;
  const double inverse = 1.0 / filter_scale;
  std::vector<Window> windows(static_cast<std::size_t>(count));
  std::vector<double> weights;
  for (std::int64_t i = 0; i < count; ++i) {
    const double center = (static_cast<double>(start + i) + 0.5) * scale;
    const auto first = std::max<std::int64_t>(static_cast<std::int64_t>(center - support + 0.5), 0);
    const auto last = std::min(static_cast<std::int64_t>(center + support + 0.5), in_size);
    weights.clear();
    double sum = 0.0;
    for (std::int64_t x = 0; x < last - first; ++x) {
      const double weight = bicubic((static_cast<double>(x + first) - center + 0.5) * inverse);
      weights.push_back(weight);
      sum += weight;
    }
    Window& window = windows[static_cast<std::size_t>(i)];
    window.first = first;
    window.weights.reserve(weights.size());
    for (double weight : weights) {
      if (sum != 0.0) weight /= sum;
      const double fixed = weight * (1 << kPrecisionBits);
      window.weights.push_back(static_cast<int>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
    }
  }
  return windows;
}

std::uint8_t clip(int sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255));
}

/// Some rows or columns of an image whose full size is the caller's knowledge.
struct Plane {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<std::uint8_t> rgb;
};

/// Columns [left, left + cols) of rows [top, top + rows), resized to out_width columns.
Plane resize_horizontally(const Image& image, std::int64_t out_width, std::int64_t left,
                          std::int64_t cols, std::int64_t top, std::int64_t rows) {
  Plane out{rows, cols, std::vector<std::uint8_t>(static_cast<std::size_t>(rows * cols * 3))};
  const std::int64_t stride = static_cast<std::int64_t>(image.width) * 3;
  const std::uint8_t* source = image.rgb.data() + top * stride;
  std::uint8_t* target = out.rgb.data();
  if (out_width == image.width) {  // Pillow skips a pass that changes nothing
    for (std::int64_t y = 0; y < rows; ++y) {
      const std::uint8_t* row = source + y * stride + left * 3;
      target = std::copy(row, row + cols * 3, target);
    }
    return out;
  }
  const std::vector<Window> windows = make_windows(image.width, out_width, left, cols);
  for (std::int64_t y = 0; y < rows; ++y) {
    const std::uint8_t* row = source + y * stride;
    for (const Window& window : windows) {
      const std::uint8_t* pixel = row + window.first * 3;
      int red = 1 << (kPrecisionBits - 1);
      int green = red;
      int blue = red;
      for (const int weight : window.weights) {
        red += pixel[0] * weight;
        green += pixel[1] * weight;
        blue += pixel[2] * weight;
        pixel += 3;
      }
      *target++ = clip(red);
      *target++ = clip(green);
      *target++ = clip(blue);
    }
  }
  return out;
}

/// Where the crop lies on one axis of the resized image; it may reach beyond it.
struct CropAxis {
  std::int64_t offset = 0;  // of the crop's first sample; negative: zeros come first
  std::int64_t begin = 0;   // samples of the resized image that the crop keeps
  std::int64_t count = 0;
};

CropAxis crop_axis(std::int64_t size, std::int64_t crop) {
  const std::int64_t offset = (size - crop) >> 1;  // rounds down, as Python's //
  const std::int64_t begin = std::max<std::int64_t>(offset, 0);
  return {offset, begin, std::min(offset + crop, size) - begin};
}

class ConfigReader {
 public:
  explicit ConfigReader(const std::filesystem::path& path) : path_(path) {
    json_ = nlohmann::json::parse(read_file(path, kMaxConfigBytes), nullptr,
                                  /*allow_exceptions=*/false);
    if (!json_.is_object()) throw corruption(path.string() + " is not a JSON object");
  }

  [[noreturn]] void fail(const std::string& key, const std::string& expected) const {
    const auto found = json_.find(key);
    throw invalid_argument(fmt::format("{}: {} is {}; {}", path_.string(), key,
                                       found == json_.end() ? "missing" : found->dump(), expected));
  }

  const nlohmann::json* find(const std::string& key) const {
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }

  bool flag(const std::string& key) const {
    const nlohmann::json* value = find(key);
    if (value == nullptr) return true;
    if (!value->is_boolean()) fail(key, "true or false is expected");
    return value->get<bool>();
  }

  int side(const nlohmann::json& value, const std::string& key) const {
    if (!value.is_number_integer() || value < 1 || value > kMaxSide) {
      fail(key, fmt::format("sides of 1 to {} pixels are expected", kMaxSide));
    }
    return value.get<int>();
  }

  double number(const std::string& key, double fallback) const {
    const nlohmann::json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_number()) fail(key, "a number is expected");
    return value->get<double>();
  }

  std::array<float, 3> channels(const std::string& key, std::array<double, 3> fallback) const {
    const nlohmann::json* value = find(key);
    std::array<float, 3> result{};
    for (std::size_t c = 0; c < 3; ++c) {
      if (value == nullptr) {
        result[c] = static_cast<float>(fallback[c]);
        continue;
      }
      if (!value->is_array() || value->size() != 3 || !(*value)[c].is_number()) {
        fail(key, "three numbers are expected");
      }
      result[c] = static_cast<float>((*value)[c].get<double>());
    }
    return result;
  }

 private:
  std::filesystem::path path_;
  nlohmann::json json_;
};

}  // namespace

ImageProcessor ImageProcessor::load(const std::filesystem::path& checkpoint_folder) {
  const ConfigReader config(checkpoint_folder / "preprocessor_config.json");
  ImageProcessor processor;
  processor.resize_ = config.flag("do_resize");
  if (processor.resize_) {
    const nlohmann::json* size = config.find("size");
    if (size == nullptr) {
      processor.shortest_edge_ = 224;
    } else if (size->is_object() && size->contains("shortest_edge")) {
      processor.shortest_edge_ = config.side((*size)["shortest_edge"], "size");
    } else if (size->is_object() && size->contains("height") && size->contains("width")) {
      processor.resize_height_ = config.side((*size)["height"], "size");
      processor.resize_width_ = config.side((*size)["width"], "size");
    } else {
      processor.shortest_edge_ = config.side(*size, "size");
    }
    const nlohmann::json* resample = config.find("resample");
    if (resample != nullptr && *resample != kBicubic) {
      config.fail("resample", "only 3 (bicubic) is supported");
    }
  }
  if (config.flag("do_center_crop")) {
    const nlohmann::json* crop = config.find("crop_size");
    if (crop == nullptr) {
      processor.crop_height_ = processor.crop_width_ = 224;
    } else if (crop->is_object() && crop->contains("height") && crop->contains("width")) {
      processor.crop_height_ = config.side((*crop)["height"], "crop_size");
      processor.crop_width_ = config.side((*crop)["width"], "crop_size");
    } else {
      processor.crop_height_ = processor.crop_width_ = config.side(*crop, "crop_size");
    }
  } else if (processor.resize_ && processor.shortest_edge_ == 0) {
    processor.crop_height_ = processor.resize_height_;
    processor.crop_width_ = processor.resize_width_;
  } else {
    config.fail("do_center_crop",
                "without it, size must give height and width, so that all images come out equal");
  }

  const bool rescale = config.flag("do_rescale");
  const bool normalized = config.flag("do_normalize");
  const double factor = config.number("rescale_factor", 1.0 / 255.0);
  const auto mean = config.channels("image_mean", {0.48145466, 0.4578275, 0.40821073});
  const auto deviation = config.channels("image_std", {0.26862954, 0.26130258, 0.27577711});
  for (std::size_t c = 0; c < 3; ++c) {
    if (deviation[c] == 0.0F) config.fail("image_std", "zero is no divisor");
    for (std::size_t byte = 0; byte < 256; ++byte) {
      auto value = static_cast<float>(static_cast<double>(byte) * (rescale ? factor : 1.0));
      if (normalized) value = (value - mean[c]) / deviation[c];
      processor.pixel_value_[c][byte] = value;
    }
  }
  return processor;
}

Image ImageProcessor::resize_and_crop(const Image& image) const {
  const std::int64_t height = image.height;
  const std::int64_t width = image.width;
  if (height < 1 || width < 1 || image.rgb.size() != static_cast<std::size_t>(height * width * 3)) {
    throw invalid_argument(
        fmt::format("an image of {} x {} pixels with {} values", width, height, image.rgb.size()));
  }
  std::int64_t new_height = height;
  std::int64_t new_width = width;
  if (resize_ && shortest_edge_ > 0) {
    const std::int64_t edge = shortest_edge_;
    new_height = height < width ? edge : edge * height / width;
    new_width = height < width ? edge * width / height : edge;
  } else if (resize_) {
    new_height = resize_height_;
    new_width = resize_width_;
  }

  const CropAxis across = crop_axis(new_width, crop_width_);
  const CropAxis down = crop_axis(new_height, crop_height_);
  std::vector<Window> windows;
  std::int64_t top = down.begin;  // rows of the input that the vertical pass needs
  std::int64_t bottom = down.begin + down.count;
  const bool resize_vertically = new_height != height;
  if (resize_vertically) {
    windows = make_windows(height, new_height, down.begin, down.count);
    top = windows.front().first;
    bottom = windows.back().first + static_cast<std::int64_t>(windows.back().weights.size());
  }
  const Plane plane =
      resize_horizontally(image, new_width, across.begin, across.count, top, bottom - top);

  Image result;
  result.height = crop_height_;
  result.width = crop_width_;
  result.rgb.resize(static_cast<std::size_t>(crop_height_) * static_cast<std::size_t>(crop_width_) *
                    3);
  const auto row_values = static_cast<std::size_t>(plane.cols * 3);
  std::vector<int> sums(row_values);
  for (std::int64_t y = 0; y < down.count; ++y) {
    const std::int64_t target_row = down.begin - down.offset + y;
    std::uint8_t* target =
        result.rgb.data() + (target_row * crop_width_ + (across.begin - across.offset)) * 3;
    if (!resize_vertically) {
      const std::uint8_t* row = plane.rgb.data() + static_cast<std::size_t>(y) * row_values;
      std::copy(row, row + row_values, target);
      continue;
    }
    const Window& window = windows[static_cast<std::size_t>(y)];
    std::fill(sums.begin(), sums.end(), 1 << (kPrecisionBits - 1));
    const std::uint8_t* row =
        plane.rgb.data() + static_cast<std::size_t>(window.first - top) * row_values;
    for (const int weight : window.weights) {
      for (std::size_t x = 0; x < row_values; ++x) sums[x] += row[x] * weight;
      row += row_values;
    }
    std::transform(sums.begin(), sums.end(), target, clip);
  }
  return result;
}

void ImageProcessor::normalize(const Image& image, float* chw) const {
  const std::size_t pixels =
      static_cast<std::size_t>(crop_height_) * static_cast<std::size_t>(crop_width_);
  if (image.height != crop_height_ || image.width != crop_width_ ||
      image.rgb.size() != pixels * 3) {
    throw invalid_argument(fmt::format("an image of {} x {} pixels; {} x {} is expected",
                                       image.width, image.height, crop_width_, crop_height_));
  }
  for (std::size_t c = 0; c < 3; ++c) {
    const auto& values = pixel_value_[c];
    for (std::size_t i = 0; i < pixels; ++i) *chw++ = values[image.rgb[i * 3 + c]];
  }
}

}  // namespace vitrine::encoder
