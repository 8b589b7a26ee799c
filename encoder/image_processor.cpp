#include "encoder/image_processor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "encoder/image_processor_file.h"
#include "encoder/image_resample.h"

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

bool flag(const JsonFields& fields, const std::string& key) {
  bool value = true;
  fields.read_flag(key, value);
  return value;
}

/// value: of the key, or a part of it.
int side(const JsonFields& fields, const std::string& key, const nlohmann::json& value) {
  if (!value.is_number_integer() || value < 1 || value > kMaxSide) {
    fields.fail(key, fmt::format("must be a side of 1 to {} pixels, or sides", kMaxSide));
  }
  return value.get<int>();
}

std::array<float, 3> channels(const JsonFields& fields, const std::string& key,
                              std::array<double, 3> values) {
  if (const nlohmann::json* found = fields.find(key); found != nullptr) {
    for (std::size_t c = 0; c < 3; ++c) {
      if (!found->is_array() || found->size() != 3 || !(*found)[c].is_number()) {
        fields.fail(key, "must be three numbers");
      }
      values[c] = (*found)[c].get<double>();
    }
  }
  std::array<float, 3> result{};
  std::ranges::transform(values, result.begin(),
                         [](double value) { return static_cast<float>(value); });
  return result;
}

}  // namespace

ImageProcessor ImageProcessor::load(const std::filesystem::path& checkpoint_folder) {
  const ImageProcessorFile file = ImageProcessorFile::read(checkpoint_folder);
  return from_json(file.fields());
}

ImageProcessor ImageProcessor::from_json(const JsonFields& settings, CropRounding rounding) {
  ImageProcessor processor;
  processor.rounding_ = rounding;
  processor.resize_ = flag(settings, "do_resize");
  if (processor.resize_) {
    const nlohmann::json* size = settings.find("size");
    if (size == nullptr) {
      processor.shortest_edge_ = 224;
    } else if (size->is_object() && size->contains("shortest_edge")) {
      processor.shortest_edge_ = side(settings, "size", (*size)["shortest_edge"]);
    } else if (size->is_object() && size->contains("height") && size->contains("width")) {
      processor.resize_height_ = side(settings, "size", (*size)["height"]);
      processor.resize_width_ = side(settings, "size", (*size)["width"]);
    } else {
      processor.shortest_edge_ = side(settings, "size", *size);
    }
    const nlohmann::json* resample = settings.find("resample");
    if (resample != nullptr && *resample != kBicubic) {
      settings.fail("resample", "must be 3 (bicubic)");
    }
  }
  if (flag(settings, "do_center_crop")) {
    const nlohmann::json* crop = settings.find("crop_size");
    if (crop == nullptr) {
      processor.crop_height_ = processor.crop_width_ = 224;
    } else if (crop->is_object() && crop->contains("height") && crop->contains("width")) {
      processor.crop_height_ = side(settings, "crop_size", (*crop)["height"]);
      processor.crop_width_ = side(settings, "crop_size", (*crop)["width"]);
    } else {
      processor.crop_height_ = processor.crop_width_ = side(settings, "crop_size", *crop);
    }
  } else if (processor.resize_ && processor.shortest_edge_ == 0) {
    processor.crop_height_ = processor.resize_height_;
    processor.crop_width_ = processor.resize_width_;
  } else {
    settings.fail("do_center_crop",
                  "must be true where size does not give height and width: all images come out "
                  "equal");
  }

  const bool rescale = flag(settings, "do_rescale");
  const bool normalized = flag(settings, "do_normalize");
  double factor = 1.0 / 255.0;
  settings.read_number("rescale_factor", 0.0, 1e6, factor);
  const auto mean = channels(settings, "image_mean", {0.48145466, 0.4578275, 0.40821073});
  const auto deviation = channels(settings, "image_std", {0.26862954, 0.26130258, 0.27577711});
  for (std::size_t c = 0; c < 3; ++c) {
    if (deviation[c] == 0.0F) settings.fail("image_std", "must have no zero, which is no divisor");
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
