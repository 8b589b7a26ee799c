// The JSON files that configure a checkpoint: the same text as each of them.

#include <nlohmann/json.hpp>

#include "encoder/clip_config.h"
#include "encoder/image_processor.h"
#include "encoder/open_clip_checkpoint.h"
#include "encoder/safetensors.h"
#include "encoder/transformers_checkpoint.h"
#include "tests/fuzz/target.h"

namespace vitrine::fuzz {
namespace {

void check_tower(const encoder::TowerConfig& tower) {
  require(tower.width > 0 && tower.mlp_width > 0 && tower.layers > 0 && tower.heads > 0,
          "a tower has a size of 0");
  require(tower.width % tower.heads == 0, "the heads do not divide the width");
}

/// The rest of a folder whose configuration is the input: valid, and of no use.
void write_weights(const std::filesystem::path& folder) {
  for (const char* name : {"model.safetensors", "open_clip_model.safetensors"}) {
    encoder::write_safetensors(folder / name, {{"logit_scale", {{}, {1}}}}, encoder::DType::kF32);
  }
  write_scratch(folder / "vocab.json", R"({"<|startoftext|>": 0, "<|endoftext|>": 1})");
  write_scratch(folder / "merges.txt", "");
}

}  // namespace

void run(std::string_view input) {
  const std::filesystem::path& folder = scratch_folder();
  static const bool written = (write_weights(folder), true);
  static_cast<void>(written);
  for (const char* name : {"config.json", "preprocessor_config.json", "open_clip_config.json"}) {
    write_scratch(folder / name, input);
  }
  for (const auto parse : {encoder::parse_clip_config, encoder::parse_siglip_config}) {
    refusable([&] {
      const encoder::ClipConfig config = parse(folder / "config.json");
      check_tower(config.text.tower);
      check_tower(config.vision.tower);
      require(config.vision.patch_size <= config.vision.image_size, "no patch fits the image");
    });
  }
  refusable([&] {
    const auto processor = encoder::ImageProcessor::load(folder);
    encoder::Image image{3, 5, {}};
    image.rgb.assign(3 * 5 * 3, 100);
    const encoder::Image prepared = processor.resize_and_crop(image);
    processor.check_prepared(prepared);
  });
  for (const auto read : {encoder::read_transformers_clip, encoder::read_transformers_siglip,
                          encoder::read_open_clip}) {
    refusable([&] { read(folder); });
  }
}

}  // namespace vitrine::fuzz
