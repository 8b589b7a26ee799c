#pragma once

#include <array>
#include <cstdint>
#include <filesystem>

#include "encoder/image.h"
#include "encoder/json_file.h"

namespace vitrine::encoder {

/// Where a centre crop begins that leaves an odd number of pixels over.
enum class CropRounding {
  kDown,  ///< Hugging Face: the smaller part first
  kEven,  ///< torchvision: after an even number of pixels
};

/// What an ImageProcessorFile says: resize, centre crop, rescale, normalise, as Hugging Face's
/// CLIPImageProcessor does them on Pillow. Immutable; safe to use from many threads.
class ImageProcessor {
 public:
  /// Reads the ImageProcessorFile of a checkpoint folder. Throws as that does, and InvalidArgument
  /// when it asks for what is not supported; the message names the file and the key.
  static ImageProcessor load(const std::filesystem::path& checkpoint_folder);

  /// The same from settings in the words of such a file.
  static ImageProcessor from_json(const JsonFields& settings,
                                  CropRounding rounding = CropRounding::kDown);

  /// Resizes and crops to [crop_height(), crop_width()]; only what the crop keeps is computed.
  /// Bit-equal to Pillow's bicubic resize. A crop larger than the resized image is padded with
  /// zeros. Throws InvalidArgument when the image is empty.
  Image resize_and_crop(const Image& image) const;

  /// Writes the pixel values of an image of exactly [crop_height(), crop_width()].
  /// chw: room for 3 * crop_height() * crop_width() floats; CHW, RGB.
  void normalize(const Image& image, float* chw) const;

  /// Throws InvalidArgument when the image is not [crop_height(), crop_width()].
  void check_prepared(const Image& image) const;

  /// What normalize() makes of a byte: [channel][byte].
  const std::array<std::array<float, 256>, 3>& pixel_values() const { return pixel_value_; }

  int crop_height() const { return crop_height_; }
  int crop_width() const { return crop_width_; }

 private:
  ImageProcessor() = default;

  bool resize_ = true;
  int shortest_edge_ = 0;  // 0: resize to resize_height_ x resize_width_
  int resize_height_ = 0;
  int resize_width_ = 0;
  int crop_height_ = 0;
  int crop_width_ = 0;
  CropRounding rounding_ = CropRounding::kDown;
  std::array<std::array<float, 256>, 3> pixel_value_{};  // [channel][byte]
};

}  // namespace vitrine::encoder
