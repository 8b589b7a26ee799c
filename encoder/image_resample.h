#pragma once

#include <cstddef>
#include <cstdint>

#include "base/instruction_set.h"
#include "encoder/image.h"

namespace vitrine::encoder {

/// A part of a resized image, in pixels of the resized image; it lies inside it.
struct ResizedRegion {
  std::size_t full_height = 0;  ///< of the whole resized image
  std::size_t full_width = 0;
  std::size_t top = 0;
  std::size_t left = 0;
  std::size_t height = 0;
  std::size_t width = 0;
};

/// Resizes with Pillow's antialiased bicubic filter, to the bit, whatever the instruction set, and
/// computes only the region. No size may be 0.
/// target: row y of the region goes to target + y * stride, as region.width * 3 bytes, HWC, RGB.
/// instruction_set: a supported one.
void resize_bicubic(const Image& image, const ResizedRegion& region, std::uint8_t* target,
                    std::size_t stride, InstructionSet instruction_set = best_instruction_set());

}  // namespace vitrine::encoder
