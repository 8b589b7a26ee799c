#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "tools/fashion_mnist.h"
#include "tools/garment_look.h"

namespace vitrine::tools {

/// A photo made ready for painting: brightness in [0, 1], and where the garment is.
struct CutOut {
  std::array<float, kPhotoSize * kPhotoSize> brightness;
  std::array<float, kPhotoSize * kPhotoSize> cover;  ///< 1 garment, 0 ground
};

/// Cuts the garment from the black ground: what the border reaches over near-black pixels is
/// ground, so that the dark parts inside a garment stay cloth.
CutOut cut_out(const GarmentPhoto& photo);

/// Paints the garment in its look on a square canvas. rgb: [size, size, 3], 0..255. The same input
/// gives the same bytes; safe to call from many threads.
void paint(const CutOut& garment, const GarmentLook& look, int size, std::span<std::uint8_t> rgb);

}  // namespace vitrine::tools
