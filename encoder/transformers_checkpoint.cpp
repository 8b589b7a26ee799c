#include "encoder/transformers_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "encoder/clip_tokenizer.h"
#include "encoder/image_processor_file.h"
#include "encoder/json_file.h"
#include "encoder/sentencepiece_tokenizer.h"

namespace vitrine::encoder {
namespace {

constexpr const char* kConfigFile = "config.json";
constexpr const char* kWeightStems[] = {"model"};
/// Names the open_clip model of a folder whose own Python code wraps that library.
constexpr const char* kWrapsOpenClip = "open_clip_model_name";

/// By its own name; but SigLIP's attention pooling has queries, keys and values in one tensor.
WeightPlace place(const std::string& name, const WeightShape& shape) {
  constexpr std::string_view kPooling = "vision_model.head.attention.";
  if (!name.starts_with(kPooling)) return {name, shape};
  const std::string_view part = std::string_view(name).substr(kPooling.size());
  const char* parts[] = {"q_proj.", "k_proj.", "v_proj."};  // rows of the tensor, in this order
  for (std::int64_t i = 0; i < 3; ++i) {
    if (!part.starts_with(parts[i])) continue;
    WeightPlace place{fmt::format("{}in_proj_{}", kPooling, part.substr(7)), shape};
    place.first_row = i * shape.front();
    place.shape.front() *= 3;
    return place;
  }
  return {name, shape};
}

void check_processor(const ImageProcessor& processor, const VisionConfig& config,
                     const std::filesystem::path& folder) {
  if (config.channels != 3) {
    throw invalid_argument(fmt::format("{}: num_channels is {}; 3 (RGB) is supported",
                                       (folder / kConfigFile).string(), config.channels));
  }
  if (processor.crop_height() != config.image_size || processor.crop_width() != config.image_size) {
    throw invalid_argument(
        fmt::format("{}: images of {} x {} pixels come out, {}'s image_size is {}",
                    (folder / ImageProcessorFile::name_in(folder)).string(), processor.crop_width(),
                    processor.crop_height(), kConfigFile, config.image_size));
  }
}

bool is_transformers(const std::filesystem::path& folder, const char* model_type) {
  const std::filesystem::path path = folder / kConfigFile;
  if (!std::filesystem::exists(path) || !WeightFiles::exist(folder, kWeightStems)) return false;
  const nlohmann::json config = read_json_object(path, kMaxConfigBytes);
  const auto type = config.find("model_type");
  return type != config.end() && *type == model_type && !config.contains(kWrapsOpenClip);
}

/// SiglipImageProcessor's: it resizes to height and width, and crops nothing.
ImageProcessor load_siglip_processor(const std::filesystem::path& folder) {
  ImageProcessorFile file = ImageProcessorFile::read(folder);
  const JsonFields fields = file.fields();
  if (const nlohmann::json* type = fields.find("image_processor_type"); type != nullptr) {
    constexpr std::string_view kTypes[] = {"SiglipImageProcessor", "SiglipImageProcessorFast",
                                           "SiglipImageProcessorPil"};
    const bool known =
        std::ranges::any_of(kTypes, [&](std::string_view name) { return *type == name; });
    if (!known) fields.fail("image_processor_type", "must be \"SiglipImageProcessor\"");
  }
  const nlohmann::json defaults = {{"size", {{"height", 224}, {"width", 224}}},
                                   {"image_mean", {0.5, 0.5, 0.5}},
                                   {"image_std", {0.5, 0.5, 0.5}}};
  nlohmann::json& settings = file.settings;
  for (const auto& [key, value] : defaults.items()) {
    if (!settings.contains(key) || settings[key].is_null()) settings[key] = value;
  }
  settings["do_center_crop"] = false;
  return ImageProcessor::from_json(fields);
}

/// Of the config, the image processor and the tokenizer, by what the folder has.
std::future<std::string> start_fingerprint_of(const WeightFiles& weights,
                                              const std::filesystem::path& folder,
                                              std::span<const char* const> tokenizer_files) {
  const char* config_files[] = {kConfigFile, ImageProcessorFile::name_in(folder)};
  return start_fingerprint(weights, folder, config_files, tokenizer_files);
}

}  // namespace

bool is_transformers_clip(const std::filesystem::path& folder) {
  return is_transformers(folder, "clip");
}

bool is_transformers_siglip(const std::filesystem::path& folder) {
  return is_transformers(folder, "siglip");
}

ClipCheckpoint read_transformers(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kConfigFile;
  const nlohmann::json config = read_json_object(path, kMaxConfigBytes);
  if (config.contains(kWrapsOpenClip)) {
    throw not_found(fmt::format("{} names an open_clip model; open_clip_config.json is missing",
                                path.string()));
  }
  const JsonFields fields(config, path.string(), "");
  const nlohmann::json* type = fields.find("model_type");
  if (type != nullptr && *type == "clip") return read_transformers_clip(folder);
  if (type != nullptr && *type == "siglip") return read_transformers_siglip(folder);
  fields.fail("model_type", "must be \"clip\" or \"siglip\", which are supported");
}

ClipCheckpoint read_transformers_clip(const std::filesystem::path& folder) {
  const std::filesystem::path config_path = folder / kConfigFile;
  ClipConfig config = parse_clip_config(config_path);
  WeightFiles files = WeightFiles::open(folder, kWeightStems);
  std::future<std::string> fingerprint = start_fingerprint_of(files, folder, kClipTokenizerFiles);

  ImageProcessor processor = ImageProcessor::load(folder);
  check_processor(processor, config.vision, folder);
  auto tokenizer = load_clip_tokenizer(folder, ClipCleaning::kNone, config.text, config_path);
  CheckpointWeights weights(std::move(files), {place, "position_ids"}, config, kConfigFile);
  return {"clip",
          "transformers",
          config,
          std::move(tokenizer),
          std::move(processor),
          std::move(weights),
          std::move(fingerprint)};
}

ClipCheckpoint read_transformers_siglip(const std::filesystem::path& folder) {
  const std::filesystem::path config_path = folder / kConfigFile;
  ClipConfig config = parse_siglip_config(config_path);
  WeightFiles files = WeightFiles::open(folder, kWeightStems);
  std::future<std::string> fingerprint = start_fingerprint_of(files, folder, kSentencePieceFiles);

  ImageProcessor processor = load_siglip_processor(folder);
  check_processor(processor, config.vision, folder);
  auto tokenizer = load_siglip_tokenizer(folder, TextCleaning::kSiglip, config.text, config_path);
  CheckpointWeights weights(std::move(files), {place, "position_ids"}, config, kConfigFile);
  return {
      "siglip",           "transformers",        config, std::move(tokenizer), std::move(processor),
      std::move(weights), std::move(fingerprint)};
}

}  // namespace vitrine::encoder
