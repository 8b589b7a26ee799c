#include "encoder/image_processor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "encoder/image_resample.h"
#include "encoder/json_file.h"

namespace vitrine::encoder {
namespace {

constexpr int kMaxSide = 4096;
constexpr int kBicubic = 3;  // Pillow's number

/// Where the crop lies on one axis of the resized image; it may reach beyond it.
struct CropAxis {
  std::int64_t offset = 0;  // of the crop's first sample; negative: zeros come first
  std::int64_t begin = 0;   // samples of the resized image that the crop keeps
  std::int64_t count = 0;
};

CropAxis crop_axis(std::int64_t size, std::int64_t crop, CropRounding rounding) {
  std::int64_t offset = (size - crop) >> 1;  // rounds down, as Python's //
  if (rounding == CropRounding::kEven && (size - crop) % 2 != 0) offset += offset & 1;
  const std::int64_t begin = std::max<std::int64_t>(offset, 0);
  return {offset, begin, std::min(offset + crop, size) - begin};
}

class ConfigReader {
 public:
  ConfigReader(const nlohmann::json& json, const std::filesystem::path& path)
      : json_(json), path_(path) {}

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
  const nlohmann::json& json_;
  std::filesystem::path path_;
};

}  // namespace

ImageProcessor ImageProcessor::load(const std::filesystem::path& checkpoint_folder) {
  const std::filesystem::path path = checkpoint_folder / "preprocessor_config.json";
  return from_json(read_json_object(path, kMaxConfigBytes), path);
}

ImageProcessor ImageProcessor::from_json(const nlohmann::json& settings,
                                         const std::filesystem::path& path, CropRounding rounding) {
  const ConfigReader config(settings, path);
  ImageProcessor processor;
  processor.rounding_ = rounding;
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

  const CropAxis across = crop_axis(new_width, crop_width_, rounding_);
  const CropAxis down = crop_axis(new_height, crop_height_, rounding_);
  ResizedRegion region;
  region.full_height = static_cast<std::size_t>(new_height);
  region.full_width = static_cast<std::size_t>(new_width);
  region.top = static_cast<std::size_t>(down.begin);
  region.left = static_cast<std::size_t>(across.begin);
  region.height = static_cast<std::size_t>(down.count);
  region.width = static_cast<std::size_t>(across.count);

  Image result;
  result.height = crop_height_;
  result.width = crop_width_;
  const std::size_t stride = static_cast<std::size_t>(crop_width_) * 3;
  result.rgb.resize(static_cast<std::size_t>(crop_height_) * stride);
  const auto first_row = static_cast<std::size_t>(down.begin - down.offset);
  const auto first_column = static_cast<std::size_t>(across.begin - across.offset);
  resize_bicubic(image, region, result.rgb.data() + first_row * stride + first_column * 3, stride);
  return result;
}

void ImageProcessor::check_prepared(const Image& image) const {
  const std::size_t pixels =
      static_cast<std::size_t>(crop_height_) * static_cast<std::size_t>(crop_width_);
  if (image.height != crop_height_ || image.width != crop_width_ ||
      image.rgb.size() != pixels * 3) {
    throw invalid_argument(fmt::format("an image of {} x {} pixels; {} x {} is expected",
                                       image.width, image.height, crop_width_, crop_height_));
  }
}

void ImageProcessor::normalize(const Image& image, float* chw) const {
  check_prepared(image);
  const std::size_t pixels = image.rgb.size() / 3;
  for (std::size_t c = 0; c < 3; ++c) {
    const auto& values = pixel_value_[c];
    for (std::size_t i = 0; i < pixels; ++i) *chw++ = values[image.rgb[i * 3 + c]];
  }
}

}  // namespace vitrine::encoder
