#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "tools/random.h"

namespace vitrine::tools {

using Rgb = std::array<std::uint8_t, 3>;

/// A word of the catalogue and the other words shoppers use for it.
struct Attribute {
  std::string name;
  std::span<const std::string> synonyms;
};

/// A dye: the cloth's colour where the photo is darkest and where it is brightest.
struct Dye {
  Rgb dark, light;
};

std::span<const Attribute> garments();  ///< in the order of Fashion-MNIST's labels
std::span<const Attribute> colours();
std::span<const Attribute> patterns();
std::span<const Attribute> grounds();

enum Pattern : int { kPlain, kStriped, kDotted, kChecked };

const Dye& dye(int colour);
/// What stripes and dots are printed with, far in lightness from the cloth.
const Dye& print_dye(int colour);
const Rgb& ground_rgb(int ground);

/// All that the painter needs to know besides the photo. Lengths in photo pixels.
struct GarmentLook {
  int colour = 0;   ///< index into colours()
  int pattern = 0;  ///< index into patterns()
  int ground = 0;   ///< index into grounds()
  float period = 4.5f;
  float angle = 0.0f;  ///< radians; 0: the bands lie level
  float phase_x = 0.0f, phase_y = 0.0f;
  // Placement of the photo on the canvas.
  bool mirrored = false;
  float shift_x = 0.0f, shift_y = 0.0f, zoom = 1.0f;
};

/// A random look as the catalogue has them: every colour equally often, `patterned` of them not
/// plain, upright and unmoved.
GarmentLook draw_look(Random& random, float patterned);

}  // namespace vitrine::tools
