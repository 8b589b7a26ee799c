#include "encoder/open_clip_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <utility>

#include "encoder/json_file.h"

namespace vitrine::encoder {
namespace {

using Json = nlohmann::json;

constexpr const char* kConfigFile = "open_clip_config.json";
constexpr const char* kWeightStems[] = {"open_clip_model", "model"};

/// A key that is not read: its value changes nothing about the embeddings, whatever it is (kAny),
/// or as long as it is this one.
struct Unread {
  std::string_view key;
  std::string_view value;
};

constexpr std::string_view kAny = "any";

constexpr Unread kModelKeys[] = {{"output_dict", kAny},
                                 {"cast_dtype", kAny},
                                 {"init_logit_scale", kAny},
                                 {"nonscalar_logit_scale", kAny}};

constexpr Unread kVisionKeys[] = {
    {"patch_dropout", kAny},  // of training
    {"output_tokens", kAny},
    {"attn_pooler_queries", kAny},  // of attentional_pool, and the next
    {"attn_pooler_heads", kAny},
    {"timm_model_pretrained", kAny},  // of timm_model_name, and the next
    {"timm_pool", kAny},
    {"timm_proj", kAny},
    {"timm_proj_bias", kAny},
    {"timm_drop", kAny},
    {"timm_drop_path", kAny},
    {"pos_embed_type", "learnable"},
    {"pool_type", "tok"}};

constexpr Unread kTextKeys[] = {{"output_tokens", kAny},
                                {"pad_id", kAny},  // attention is causal: padding has no influence
                                {"eos_id", kAny},  // of another pool_type
                                {"hf_model_pretrained", kAny},  // of hf_model_name, and the next
                                {"hf_proj_type", kAny},
                                {"hf_pooler_type", kAny},
                                {"pool_type", "argmax"},
                                {"proj_type", "linear"}};

constexpr Unread kProcessorKeys[] = {
    {"mode", "RGB"}, {"fill_color", kAny},  // of another resize_mode
};

/// What the config says beyond the keys that are read must change nothing or be off: another value
/// would give other embeddings.
void refuse_others(const JsonFields& fields, std::initializer_list<std::string_view> read,
                   std::span<const Unread> unread) {
  for (const auto& item : fields.object().items()) {
    const std::string& key = item.key();
    const Json& value = item.value();
    if (value.is_null() || std::find(read.begin(), read.end(), key) != read.end()) continue;
    const auto entry = std::find_if(unread.begin(), unread.end(),
                                    [&](const Unread& candidate) { return candidate.key == key; });
    const bool harmless = entry != unread.end() ? entry->value == kAny || value == entry->value
                                                : value == false || value == 0 || value == "" ||
                                                      (value.is_structured() && value.empty());
    if (!harmless) fields.fail(key, "is not supported");
  }
}

/// The object under a key; an empty one where it is missing.
Json section(const JsonFields& fields, const std::string& key) {
  const Json* value = fields.find(key);
  if (value == nullptr) return Json::object();
  if (!value->is_object()) fields.fail(key, "must be an object");
  return *value;
}

/// Sides may be given as [height, width]; the towers are square.
void unite_sides(Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array() || found->size() != 2) return;
  if (Json side = found->front(); side == found->back()) *found = std::move(side);
}

void read_mlp_width(const JsonFields& fields, TowerConfig& tower) {
  double ratio = 4.0;
  fields.read_number("mlp_ratio", 0.0, 64.0, ratio);
  tower.mlp_width = static_cast<std::int64_t>(static_cast<double>(tower.width) * ratio);
  if (tower.mlp_width < 1) fields.fail("mlp_ratio", "leaves the blocks without width");
}

VisionConfig read_vision(const JsonFields& fields, Activation activation) {
  // A tower of another kind has few of the other keys: said first, it explains the most.
  if (const Json* name = fields.find("timm_model_name"); name != nullptr && *name != "") {
    fields.fail("timm_model_name", "is not supported; timm's towers are not CLIP's");
  }
  if (const Json* layers = fields.find("layers"); layers != nullptr && layers->is_array()) {
    fields.fail("layers", "is not supported; only vision transformers are");
  }
  refuse_others(fields, {"image_size", "patch_size", "width", "layers", "head_width", "mlp_ratio"},
                kVisionKeys);
  VisionConfig config;
  config.tower.activation = activation;
  config.patch_size = 16;
  fields.read_size("image_size", config.image_size);
  fields.read_size("patch_size", config.patch_size);
  if (config.patch_size > config.image_size) {
    fields.fail("patch_size", "must not exceed image_size");
  }
  fields.read_size("width", config.tower.width);
  fields.read_size("layers", config.tower.layers);
  std::int64_t head_width = 64;
  fields.read_size("head_width", head_width);
  if (config.tower.width % head_width != 0) {
    fields.fail("head_width", fmt::format("must divide the width, {}", config.tower.width));
  }
  config.tower.heads = config.tower.width / head_width;
  read_mlp_width(fields, config.tower);
  return config;
}

TextConfig read_text(const JsonFields& fields, Activation activation) {
  if (const Json* name = fields.find("hf_model_name"); name != nullptr && *name != "") {
    fields.fail("hf_model_name", "is not supported; only CLIP's own text tower is");
  }
  refuse_others(fields, {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"},
                kTextKeys);
  TextConfig config;
  config.tower.activation = activation;
  config.eos_token_id = kEosIsLargestId;
  fields.read_size("context_length", config.context_length);
  fields.read_size("vocab_size", config.vocab_size);
  fields.read_size("width", config.tower.width);
  fields.read_size("heads", config.tower.heads);
  fields.read_size("layers", config.tower.layers);
  if (config.tower.width % config.tower.heads != 0) {
    fields.fail("heads", fmt::format("must divide the width, {}", config.tower.width));
  }
  read_mlp_width(fields, config.tower);
  return config;
}

ClipConfig read_model(const Json& root, const std::string& file) {
  const JsonFields top(root, file, "");
  if (top.find("model_cfg") == nullptr) top.fail("model_cfg", "must be an object");
  const Json model = section(top, "model_cfg");
  const JsonFields fields(model, file, "model_cfg.");
  bool quick_gelu = false;
  fields.read_flag("quick_gelu", quick_gelu);
  const Activation activation = quick_gelu ? Activation::kQuickGelu : Activation::kGelu;

  Json vision = section(fields, "vision_cfg");
  for (const char* key : {"image_size", "patch_size"}) unite_sides(vision, key);
  const Json text = section(fields, "text_cfg");
  ClipConfig config;
  config.vision = read_vision(JsonFields(vision, file, "model_cfg.vision_cfg."), activation);
  config.text = read_text(JsonFields(text, file, "model_cfg.text_cfg."), activation);
  refuse_others(fields, {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg"}, kModelKeys);
  fields.read_size("embed_dim", config.projection_dim);
  return config;
}

/// A colour statistic: three numbers, or one for all channels.
Json channels(const JsonFields& fields, const std::string& key) {
  const Json* value = fields.find(key);
  if (value == nullptr) return nullptr;
  if (value->is_number()) return Json::array({*value, *value, *value});
  const auto is_number = [](const Json& element) { return element.is_number(); };
  if (!value->is_array() || value->size() != 3 ||
      !std::all_of(value->begin(), value->end(), is_number)) {
    fields.fail(key, "must be a number or three");
  }
  return *value;
}

/// preprocess_cfg in the words of transformers.
ImageProcessor read_processor(const Json& root, const std::filesystem::path& path,
                              std::int64_t image_size) {
  const std::string file = path.string();
  Json settings = section(JsonFields(root, file, ""), "preprocess_cfg");
  unite_sides(settings, "size");
  const JsonFields fields(settings, file, "preprocess_cfg.");
  refuse_others(fields, {"size", "mean", "std", "interpolation", "resize_mode"}, kProcessorKeys);
  if (const Json* size = fields.find("size"); size != nullptr && *size != image_size) {
    fields.fail("size", fmt::format("must be the image_size of the vision tower, {}", image_size));
  }
  if (const Json* mode = fields.find("interpolation");
      mode != nullptr && *mode != "bicubic" && *mode != "random") {  // random: of training
    fields.fail("interpolation", "is not supported; \"bicubic\" is");
  }
  Json processor = {{"image_mean", channels(fields, "mean")},
                    {"image_std", channels(fields, "std")}};
  const Json square = {{"height", image_size}, {"width", image_size}};
  const Json* mode = fields.find("resize_mode");
  if (mode == nullptr || *mode == "shortest") {
    processor["size"] = {{"shortest_edge", image_size}};
    processor["crop_size"] = square;
  } else if (*mode == "squash") {
    processor["size"] = square;
    processor["do_center_crop"] = false;
  } else {
    fields.fail("resize_mode", "is not supported; \"shortest\" and \"squash\" are");
  }
  return ImageProcessor::from_json(processor, path, CropRounding::kEven);
}

/// What begins every name: nothing, or what a class that wraps the model adds.
std::string name_prefix(const WeightFiles& files) {
  for (const char* prefix : {"model.", "module."}) {
    if (files.tensors().contains(std::string(prefix) + "visual.conv1.weight")) return prefix;
  }
  return "";
}

struct Renaming {
  std::string_view hugging_face;
  std::string_view open_clip;
};

/// Beginnings of names; what follows stays, but for a block's.
constexpr Renaming kNames[] = {
    {"logit_scale", "logit_scale"},
    {"text_model.embeddings.token_embedding.", "token_embedding."},
    {"text_model.embeddings.position_embedding.weight", "positional_embedding"},
    {"text_model.encoder.layers.", "transformer.resblocks."},
    {"text_model.final_layer_norm.", "ln_final."},
    {"text_projection.weight", "text_projection"},
    {"vision_model.embeddings.class_embedding", "visual.class_embedding"},
    {"vision_model.embeddings.patch_embedding.", "visual.conv1."},
    {"vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"},
    {"vision_model.pre_layrnorm.", "visual.ln_pre."},
    {"vision_model.encoder.layers.", "visual.transformer.resblocks."},
    {"vision_model.post_layernorm.", "visual.ln_post."},
    {"visual_projection.weight", "visual.proj"},
};

/// Parts of a block, behind its number.
constexpr Renaming kBlockNames[] = {
    {".layer_norm1.", ".ln_1."},
    {".self_attn.q_proj.", ".attn.in_proj_"},
    {".self_attn.k_proj.", ".attn.in_proj_"},
    {".self_attn.v_proj.", ".attn.in_proj_"},
    {".self_attn.out_proj.", ".attn.out_proj."},
    {".layer_norm2.", ".ln_2."},
    {".mlp.fc1.", ".mlp.c_fc."},
    {".mlp.fc2.", ".mlp.c_proj."},
};

std::string rename(std::string name) {
  for (const Renaming& renaming : kBlockNames) {
    if (const auto position = name.find(renaming.hugging_face); position != std::string::npos) {
      name.replace(position, renaming.hugging_face.size(), renaming.open_clip);
      break;
    }
  }
  for (const Renaming& renaming : kNames) {
    if (name.starts_with(renaming.hugging_face)) {
      name.replace(0, renaming.hugging_face.size(), renaming.open_clip);
      break;
    }
  }
  return name;
}

WeightPlace place(const std::string& prefix, const std::string& name, const WeightShape& shape) {
  WeightPlace place{prefix + rename(name), shape};
  if (name.ends_with("_projection.weight")) {  // stored as it multiplies from the right
    std::reverse(place.shape.begin(), place.shape.end());
    place.transposed = true;
  }
  const char* parts[] = {".q_proj.", ".k_proj.", ".v_proj."};  // rows of one tensor, in this order
  for (std::int64_t part = 0; part < 3; ++part) {
    if (name.find(parts[part]) == std::string::npos) continue;
    place.first_row = part * shape.front();
    place.shape.front() *= 3;
  }
  return place;
}

}  // namespace

bool is_open_clip(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder / kConfigFile);
}

ClipCheckpoint read_open_clip(const std::filesystem::path& folder) {
  const std::filesystem::path config_path = folder / kConfigFile;
  const Json root = read_json_object(config_path, kMaxConfigBytes);
  const ClipConfig config = read_model(root, config_path.string());
  WeightFiles files = WeightFiles::open(folder, kWeightStems);
  std::vector<std::filesystem::path> read = files.paths();
  read.push_back(config_path);
  for (const char* name : kTokenizerFiles) read.push_back(folder / name);
  std::future<std::string> fingerprint = start_fingerprint(std::move(read));

  ImageProcessor processor = read_processor(root, config_path, config.vision.image_size);
  Tokenizer tokenizer = Tokenizer::load(folder);
  check_tokenizer(tokenizer, config.text, config_path);
  const std::string prefix = name_prefix(files);
  const WeightLayout layout{
      [&](const std::string& name, const WeightShape& shape) { return place(prefix, name, shape); },
      "attn_mask"};
  CheckpointWeights weights(std::move(files), layout, config, kConfigFile);
  return {"open_clip",          config,
          std::move(tokenizer), std::move(processor),
          std::move(weights),   std::move(fingerprint)};
}

}  // namespace vitrine::encoder
