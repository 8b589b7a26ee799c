#include "encoder/transformers_checkpoint.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "encoder/json_file.h"

namespace vitrine::encoder {
namespace {

constexpr const char* kConfigFile = "config.json";
constexpr const char* kProcessorFile = "preprocessor_config.json";
constexpr const char* kWeightStems[] = {"model"};
/// Names the open_clip model of a folder whose own Python code wraps that library.
constexpr const char* kWrapsOpenClip = "open_clip_model_name";

WeightPlace place(const std::string& name, const WeightShape& shape) { return {name, shape}; }

void check_processor(const ImageProcessor& processor, const VisionConfig& config,
                     const std::filesystem::path& folder) {
  if (config.channels != 3) {
    throw invalid_argument(fmt::format("{}: num_channels is {}; 3 (RGB) is supported",
                                       (folder / kConfigFile).string(), config.channels));
  }
  if (processor.crop_height() != config.image_size || processor.crop_width() != config.image_size) {
    throw invalid_argument(
        fmt::format("{}: images of {} x {} pixels come out, {}'s image_size is {}",
                    (folder / kProcessorFile).string(), processor.crop_width(),
                    processor.crop_height(), kConfigFile, config.image_size));
  }
}

}  // namespace

bool is_transformers_clip(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kConfigFile;
  if (!std::filesystem::exists(path) || !WeightFiles::exist(folder, kWeightStems)) return false;
  const nlohmann::json config = read_json_object(path, kMaxConfigBytes);
  const auto type = config.find("model_type");
  return type != config.end() && *type == "clip" && !config.contains(kWrapsOpenClip);
}

ClipCheckpoint read_transformers_clip(const std::filesystem::path& folder) {
  const std::filesystem::path config_path = folder / kConfigFile;
  if (read_json_object(config_path, kMaxConfigBytes).contains(kWrapsOpenClip)) {
    throw not_found(fmt::format("{} names an open_clip model; open_clip_config.json is missing",
                                config_path.string()));
  }
  const ClipConfig config = parse_clip_config(config_path);
  WeightFiles files = WeightFiles::open(folder, kWeightStems);
  std::vector<std::filesystem::path> read = files.paths();
  for (const char* name : {kConfigFile, kProcessorFile}) read.push_back(folder / name);
  for (const char* name : kTokenizerFiles) read.push_back(folder / name);
  std::future<std::string> fingerprint = start_fingerprint(std::move(read));

  ImageProcessor processor = ImageProcessor::load(folder);
  check_processor(processor, config.vision, folder);
  Tokenizer tokenizer = Tokenizer::load(folder);
  check_tokenizer(tokenizer, config.text, config_path);
  CheckpointWeights weights(std::move(files), {place, "position_ids"}, config, kConfigFile);
  return {"transformers",       config,
          std::move(tokenizer), std::move(processor),
          std::move(weights),   std::move(fingerprint)};
}

}  // namespace vitrine::encoder
