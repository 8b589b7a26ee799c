#include "tools/garment_painter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "base/sha256.h"

namespace vitrine::tools {
namespace {

constexpr int kSize = 56;

/// A bright square with a dark hole in it, on black.
GarmentPhoto square_photo() {
  GarmentPhoto photo;
  photo.grey.fill(0);
  for (int row = 6; row < 22; ++row) {
    for (int column = 6; column < 22; ++column) {
      const bool hole = row >= 12 && row < 16 && column >= 12 && column < 16;
      photo.grey[row * kPhotoSize + column] = hole ? 0 : 200;
    }
  }
  return photo;
}

std::vector<std::uint8_t> painted(const GarmentLook& look) {
  std::vector<std::uint8_t> rgb(kSize * kSize * 3);
  paint(cut_out(square_photo()), look, kSize, rgb);
  return rgb;
}

TEST(GarmentPainter, CutsOutTheGroundButNotTheDarkPartsInside) {
  const CutOut cut = cut_out(square_photo());
  EXPECT_EQ(cut.cover[0], 0.0f);
  EXPECT_EQ(cut.cover[13 * kPhotoSize + 13], 1.0f);
}

TEST(GarmentPainter, PaintsTheSameBytesAgain) {
  for (int pattern = kPlain; pattern <= kChecked; ++pattern) {
    GarmentLook look;
    look.colour = 3;
    look.pattern = pattern;
    EXPECT_EQ(painted(look), painted(look));
  }
}

TEST(GarmentPainter, LeavesTheGroundUntouched) {
  GarmentLook look;
  look.colour = 3;
  look.ground = 1;
  const std::vector<std::uint8_t> rgb = painted(look);
  const Rgb& ground = ground_rgb(1);
  EXPECT_EQ(rgb[0], ground[0]);
  EXPECT_EQ(rgb[1], ground[1]);
  EXPECT_EQ(rgb[2], ground[2]);
}

TEST(GarmentPainter, ShowsEveryPatternClearly) {
  GarmentLook plain;
  plain.colour = 7;
  const std::vector<std::uint8_t> without = painted(plain);
  for (int pattern = kStriped; pattern <= kChecked; ++pattern) {
    GarmentLook look = plain;
    look.pattern = pattern;
    const std::vector<std::uint8_t> with = painted(look);
    double difference = 0;
    for (std::size_t i = 0; i < with.size(); ++i) {
      difference += std::abs(double(with[i]) - double(without[i]));
    }
    EXPECT_GT(difference / double(with.size()), 5.0) << pattern;
  }
}

TEST(GarmentPainter, RefusesACanvasOfAnotherSize) {
  std::vector<std::uint8_t> rgb(10);
  EXPECT_THROW(paint(cut_out(square_photo()), {}, kSize, rgb), Error);
}

}  // namespace
}  // namespace vitrine::tools
