#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tools/fashion_mnist.h"
#include "tools/garment_look.h"

namespace vitrine::tools {

/// One product of the demo catalogue before it is painted.
struct DemoProduct {
  std::string id;     ///< such as "test-00042"
  std::string image;  ///< path below the catalogue's folder
  int garment = 0;    ///< index into garments()
  GarmentLook look;
  int price_cents = 0;
};

/// Width and height of the catalogue's images, in pixels.
constexpr int kDemoImageSize = 112;

/// The product made of photo `number` of a split: the same on every machine, whatever else is made.
DemoProduct demo_product(const GarmentPhoto& photo, const std::string& split, int number);

/// The product's line in catalog.jsonl, without the line's end.
std::string demo_record(const DemoProduct& product);

/// Writes images/*.png and, last, catalog.jsonl. An image file that is there already is kept, so
/// that a stopped run goes on where it was. progress(done) after every image.
void write_demo_catalog(std::span<const GarmentPhoto> photos, const std::string& split,
                        const std::filesystem::path& folder,
                        const std::function<void(std::size_t)>& progress);

}  // namespace vitrine::tools
