#include "tools/garment_painter.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace vitrine::tools {
namespace {

constexpr int kNearBlack = 10;

/// Part of a pixel `softness` wide that a periodic band covers; position in periods, width and
/// softness in photo pixels.
float band(float position, float period, float width, float softness) {
  const float distance = std::abs(position - std::floor(position) - 0.5f) * period;
  return std::clamp((width * 0.5f - distance) / softness + 0.5f, 0.0f, 1.0f);
}

float dot(float x, float y, float period, float radius, float softness) {
  const float dx = (x - std::floor(x) - 0.5f) * period;
  const float dy = (y - std::floor(y) - 0.5f) * period;
  return std::clamp((radius - std::sqrt(dx * dx + dy * dy)) / softness + 0.5f, 0.0f, 1.0f);
}

/// How much of the print's dye, rather than the cloth's, is at a point of the photo.
class Print {
 public:
  Print(const GarmentLook& look, float softness)
      : look_(look),
        softness_(softness),
        cosine_(std::cos(look.angle)),
        sine_(std::sin(look.angle)) {}

  float operator()(float x, float y) const {
    const float period = look_.period;
    const float u = (cosine_ * x + sine_ * y) / period + look_.phase_x;
    const float v = (cosine_ * y - sine_ * x) / period + look_.phase_y;
    switch (look_.pattern) {
      case kStriped:
        return band(v, period, 0.45f * period, softness_);
      case kDotted:
        return dot(u, v, period, 0.31f * period, softness_);
      case kChecked:  // woven: full where two bands cross, half where one runs alone
        return 0.5f * (band(u, period, 0.5f * period, softness_) +
                       band(v, period, 0.5f * period, softness_));
      default:
        return 0.0f;
    }
  }

 private:
  const GarmentLook& look_;
  float softness_, cosine_, sine_;
};

/// The four neighbours of a point of the photo; outside it is ground.
struct Neighbours {
  std::array<int, 4> index;
  std::array<float, 4> weight;

  Neighbours(float x, float y) {
    const int left = static_cast<int>(std::floor(x)), top = static_cast<int>(std::floor(y));
    const float fx = x - static_cast<float>(left), fy = y - static_cast<float>(top);
    for (int corner = 0; corner < 4; ++corner) {
      const int column = left + (corner & 1), row = top + (corner >> 1);
      const bool inside = column >= 0 && column < kPhotoSize && row >= 0 && row < kPhotoSize;
      index[corner] = inside ? row * kPhotoSize + column : 0;
      weight[corner] = inside ? ((corner & 1) ? fx : 1 - fx) * ((corner >> 1) ? fy : 1 - fy) : 0;
    }
  }
};

}  // namespace

CutOut cut_out(const GarmentPhoto& photo) {
  CutOut result;
  result.cover.fill(1.0f);
  std::vector<int> stack;
  const auto reach = [&](int column, int row) {
    if (column < 0 || row < 0 || column >= kPhotoSize || row >= kPhotoSize) return;
    const int at = row * kPhotoSize + column;
    if (photo.grey[at] >= kNearBlack || result.cover[at] == 0.0f) return;
    result.cover[at] = 0.0f;
    stack.push_back(at);
  };
  for (int i = 0; i < kPhotoSize; ++i) {
    reach(i, 0);
    reach(i, kPhotoSize - 1);
    reach(0, i);
    reach(kPhotoSize - 1, i);
  }
  while (!stack.empty()) {
    const int at = stack.back();
    stack.pop_back();
    const int column = at % kPhotoSize, row = at / kPhotoSize;
    reach(column - 1, row);
    reach(column + 1, row);
    reach(column, row - 1);
    reach(column, row + 1);
  }
  for (std::size_t i = 0; i < photo.grey.size(); ++i) {
    result.brightness[i] = static_cast<float>(photo.grey[i]) / 255.0f;
  }
  return result;
}

void paint(const CutOut& garment, const GarmentLook& look, int size, std::span<std::uint8_t> rgb) {
  if (size < 1 || rgb.size() != static_cast<std::size_t>(size) * size * 3) {
    throw invalid_argument("the canvas of paint() must be [size, size, 3]");
  }
  const Dye& cloth = dye(look.colour);
  const Dye& ink = print_dye(look.colour);
  const Rgb& ground = ground_rgb(look.ground);
  const float step = static_cast<float>(kPhotoSize) / static_cast<float>(size) / look.zoom;
  const float middle = static_cast<float>(kPhotoSize) * 0.5f - 0.5f;
  const Print print(look, step);

  for (int row = 0; row < size; ++row) {
    const float y = (static_cast<float>(row) + 0.5f - 0.5f * static_cast<float>(size)) * step +
                    middle - look.shift_y;
    for (int column = 0; column < size; ++column) {
      const float right =
          (static_cast<float>(column) + 0.5f - 0.5f * static_cast<float>(size)) * step;
      const float x = (look.mirrored ? -right : right) + middle - look.shift_x;
      const Neighbours near(x, y);
      float cover = 0, light = 0;
      for (int corner = 0; corner < 4; ++corner) {
        const float weight = near.weight[corner] * garment.cover[near.index[corner]];
        cover += weight;
        light += weight * garment.brightness[near.index[corner]];
      }
      std::uint8_t* pixel = &rgb[(static_cast<std::size_t>(row) * size + column) * 3];
      if (cover < 0.01f) {
        std::copy(ground.begin(), ground.end(), pixel);
        continue;
      }
      light /= cover;
      // Steeper than the photo's own edge: upscaled borders would else look foggy.
      const float alpha = std::clamp((cover - 0.5f) * 1.6f + 0.5f, 0.0f, 1.0f);
      const float printed = look.pattern == kPlain ? 0.0f : print(x, y);
      for (int c = 0; c < 3; ++c) {
        const float on_cloth = cloth.dark[c] + (float(cloth.light[c]) - cloth.dark[c]) * light;
        const float on_ink = ink.dark[c] + (float(ink.light[c]) - ink.dark[c]) * light;
        const float colour = on_cloth + (on_ink - on_cloth) * printed;
        pixel[c] = static_cast<std::uint8_t>(ground[c] + (colour - ground[c]) * alpha + 0.5f);
      }
    }
  }
}

}  // namespace vitrine::tools
