#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace vitrine::tools {

constexpr int kPhotoSize = 28;

/// A garment's photo: row by row, 0 is the black ground.
struct GarmentPhoto {
  std::array<std::uint8_t, kPhotoSize * kPhotoSize> grey;
  int garment = 0;  ///< Fashion-MNIST's label, an index into garments() of tools/garment_look.h
};

/// Where Debian's package dataset-fashion-mnist puts its files.
inline const std::filesystem::path kFashionMnistFolder = "/usr/share/datasets/fashion-mnist";

/// split: "train" (60,000 photos) or "test" (10,000). Throws InvalidArgument for another split,
/// NotFound when the files are missing, Corruption when they are not the data set's.
std::vector<GarmentPhoto> load_fashion_mnist(const std::filesystem::path& folder,
                                             const std::string& split);

}  // namespace vitrine::tools
