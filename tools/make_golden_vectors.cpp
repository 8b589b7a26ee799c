// Writes golden.json into a checkpoint folder: what the encoder checks itself against at start.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "encoder/encoder.h"
#include "encoder/golden_vectors.h"

namespace {

using vitrine::encoder::Image;

/// A picture with edges, ramps and colours in it, of no particular size.
Image test_card() {
  Image card{18, 24, {}};
  for (int y = 0; y < card.height; ++y) {
    for (int x = 0; x < card.width; ++x) {
      const bool inside = (x - 9) * (x - 9) + (y - 8) * (y - 8) < 36;
      card.rgb.push_back(static_cast<std::uint8_t>(inside ? 210 : 10 * x));
      card.rgb.push_back(static_cast<std::uint8_t>(inside ? 30 : 14 * y));
      card.rgb.push_back(static_cast<std::uint8_t>((x / 4 + y / 3) % 2 == 0 ? 60 : 190));
    }
  }
  return card;
}

}  // namespace

int main(int argc, char** argv) {
  vitrine::encoder::EncoderOptions options;
  options.precision = vitrine::encoder::Precision::kFloat32;
  options.device = vitrine::encoder::Device::kCpu;
  std::vector<std::string> texts = {"a red striped dress", "a photo of a plain black sneaker",
                                    "bag"};
  CLI::App app("Writes golden.json, which the encoder checks itself against when it is loaded");
  app.add_option("checkpoint", options.model, "Checkpoint folder")->required();
  app.add_option("--texts", texts, "Texts to encode")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    std::filesystem::remove(std::filesystem::path(options.model) / vitrine::encoder::kGoldenFile);
    const auto encoder = vitrine::encoder::load_encoder(options);
    vitrine::encoder::write_golden_vectors(*encoder, texts, std::vector{test_card()},
                                           options.model);
  } catch (const std::exception& error) {
    fmt::print(stderr, "make_golden_vectors: {}\n", error.what());
    return 1;
  }
  return 0;
}
