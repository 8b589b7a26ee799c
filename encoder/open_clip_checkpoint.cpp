#include "encoder/open_clip_checkpoint.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "encoder/clip_tokenizer.h"
#include "encoder/json_file.h"
#include "encoder/open_clip_config.h"
#include "encoder/open_clip_names.h"
#include "encoder/sentencepiece_tokenizer.h"
#include "encoder/text_cleaning.h"

namespace vitrine::encoder {
namespace {

constexpr const char* kConfigFile = "open_clip_config.json";
constexpr const char* kConfigFiles[] = {kConfigFile};
constexpr const char* kWeightStems[] = {"open_clip_model", "model"};

}  // namespace

bool is_open_clip(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder / kConfigFile);
}

ClipCheckpoint read_open_clip(const std::filesystem::path& folder) {
  const std::filesystem::path config_path = folder / kConfigFile;
  const nlohmann::json root = read_json_object(config_path, kMaxConfigBytes);
  ClipConfig config = read_open_clip_model(root, config_path.string());
  const bool siglip = config.text.pooling == TextPooling::kLastPosition;

  WeightFiles files = WeightFiles::open(folder, kWeightStems);
  const std::span<const char* const> tokenizer_files =
      siglip ? std::span<const char* const>(kSentencePieceFiles) : kClipTokenizerFiles;
  std::future<std::string> fingerprint =
      start_fingerprint(files, folder, kConfigFiles, tokenizer_files,
                        fmt::format("text repair {}\n", kRepairVersion));

  ImageProcessor processor = read_open_clip_processor(root, config_path, config.vision.image_size);
  auto tokenizer =
      siglip ? load_siglip_tokenizer(folder, TextCleaning::kOpenClip, config.text, config_path)
             : load_clip_tokenizer(folder, ClipCleaning::kOpenClip, config.text, config_path);
  const WeightLayout layout = open_clip_layout(config, files);
  CheckpointWeights weights(std::move(files), layout, config, kConfigFile);
  return {siglip ? "siglip" : "clip", "open_clip",          config,
          std::move(tokenizer),       std::move(processor), std::move(weights),
          std::move(fingerprint)};
}

}  // namespace vitrine::encoder
