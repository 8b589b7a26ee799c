#include "encoder/image_resample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace vitrine::encoder {
namespace {

Image image_of(std::size_t height, std::size_t width, const std::vector<std::uint8_t>& colours,
               std::uint32_t seed) {
  std::mt19937 random(seed);
  Image image{static_cast<int>(height), static_cast<int>(width), {}};
  // Ends where its allocation ends, so that a read past the end shows under AddressSanitizer.
  image.rgb = std::vector<std::uint8_t>(height * width * 3);
  for (std::uint8_t& value : image.rgb) {
    value =
        colours.empty() ? static_cast<std::uint8_t>(random()) : colours[random() % colours.size()];
  }
  return image;
}

constexpr std::uint8_t kUntouched = 0xa5;
constexpr std::size_t kMargin = 7;

/// The region, and around each of its rows kMargin bytes that must stay untouched.
std::vector<std::uint8_t> resized(const Image& image, const ResizedRegion& region,
                                  InstructionSet instruction_set) {
  const std::size_t stride = region.width * 3 + 2 * kMargin;
  std::vector<std::uint8_t> target(region.height * stride, kUntouched);
  resize_bicubic(image, region, target.data() + kMargin, stride, instruction_set);
  return target;
}

std::string describe(const Image& image, const ResizedRegion& region) {
  return std::to_string(image.width) + "x" + std::to_string(image.height) + " to " +
         std::to_string(region.full_width) + "x" + std::to_string(region.full_height) +
         ", columns from " + std::to_string(region.left) + ", rows from " +
         std::to_string(region.top) + ", " + std::to_string(region.width) + "x" +
         std::to_string(region.height);
}

class ImageResample : public testing::TestWithParam<InstructionSet> {
 protected:
  static void expect_same_as_portable(const Image& image, const ResizedRegion& region) {
    EXPECT_EQ(resized(image, region, GetParam()), resized(image, region, InstructionSet::kPortable))
        << describe(image, region);
  }
};

TEST_P(ImageResample, EqualsThePortableKernelAtEverySize) {
  const std::size_t sizes[] = {1, 2, 3, 5, 8, 21, 22, 33, 64, 97, 230};
  std::uint32_t seed = 0;
  for (const std::size_t height : sizes) {
    for (const std::size_t width : sizes) {
      const Image image = image_of(height, width, {}, ++seed);
      for (const std::size_t out : {1, 7, 22, 64, 97}) {
        expect_same_as_portable(image, {out, out, 0, 0, out, out});
      }
      expect_same_as_portable(image, {height, 43, 0, 0, height, 43});
      expect_same_as_portable(image, {43, width, 0, 0, 43, width});
    }
  }
}

TEST_P(ImageResample, EqualsThePortableKernelOnEveryPart) {
  std::mt19937 random(1);
  const auto between = [&](std::size_t low, std::size_t high) {
    return low + random() % (high - low + 1);
  };
  for (std::uint32_t i = 0; i < 300; ++i) {
    const Image image = image_of(between(1, 90), between(1, 400), {}, i);
    ResizedRegion region;
    region.full_height = between(1, 150);
    region.full_width = between(1, 150);
    region.top = between(0, region.full_height - 1);
    region.left = between(0, region.full_width - 1);
    region.height = between(1, region.full_height - region.top);
    region.width = between(1, region.full_width - region.left);
    expect_same_as_portable(image, region);
  }
}

/// Black and white alone reach the ends of the sums: overshoot on both sides, and the clipping.
TEST_P(ImageResample, EqualsThePortableKernelOnHardEdges) {
  for (std::uint32_t i = 0; i < 40; ++i) {
    const Image image = image_of(61, 83 + i, {0, 255}, i);
    expect_same_as_portable(image, {224, 300, 0, 38, 224, 224});
    expect_same_as_portable(image, {40, 50 + i, 3, 0, 20, 50 + i});
  }
}

std::vector<InstructionSet> all_but_portable() {
  std::vector<InstructionSet> sets = supported_instruction_sets();
  sets.erase(sets.begin());
  return sets;
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ImageResample);
INSTANTIATE_TEST_SUITE_P(InstructionSets, ImageResample, testing::ValuesIn(all_but_portable()),
                         [](const auto& each) { return std::string(to_string(each.param)); });

TEST(ImageResampleKernels, KeepAConstantColour) {
  for (const InstructionSet instruction_set : supported_instruction_sets()) {
    for (const std::uint8_t colour : {0, 1, 128, 254, 255}) {
      const Image image = image_of(300, 170, {colour}, 1);
      for (const std::size_t out : {1, 50, 171, 400}) {
        std::vector<std::uint8_t> target(out * out * 3);
        resize_bicubic(image, {out, out, 0, 0, out, out}, target.data(), out * 3, instruction_set);
        EXPECT_EQ(target, std::vector<std::uint8_t>(out * out * 3, colour));
      }
    }
  }
}

TEST(ImageResampleKernels, MakeLargeStripsAsEachRowAlone) {
  // The rows between the passes take 134 MB.
  const Image image = image_of(200'000, 2, {}, 1);
  constexpr std::size_t kOut = 224;
  std::vector<std::uint8_t> whole(kOut * kOut * 3);
  resize_bicubic(image, {kOut, kOut, 0, 0, kOut, kOut}, whole.data(), kOut * 3,
                 supported_instruction_sets().back());
  for (const std::size_t y : {0, 1, 57, 58, 59, 112, 222, 223}) {
    std::vector<std::uint8_t> row(kOut * 3);
    resize_bicubic(image, {kOut, kOut, y, 0, 1, kOut}, row.data(), kOut * 3,
                   supported_instruction_sets().back());
    EXPECT_TRUE(std::equal(row.begin(), row.end(), whole.begin() + y * kOut * 3)) << y;
  }
}

}  // namespace
}  // namespace vitrine::encoder
