#include "encoder/open_clip_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <utility>

#include "encoder/json_file.h"

namespace vitrine::encoder {
namespace {

using Json = nlohmann::json;

/// A key that is not read: its value changes nothing about the embeddings, whatever it is (kAny),
/// or as long as it is this one.
struct Unread {
  std::string_view key;
  std::string_view value;
};

constexpr std::string_view kAny = "any";

constexpr Unread kModelKeys[] = {{"custom_text", kAny},  // shows in the names of weights
                                 {"output_dict", kAny},
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

constexpr Unread kTimmKeys[] = {{"patch_dropout", kAny},  // of training
                                {"timm_model_pretrained", kAny},
                                {"timm_drop", kAny},
                                {"timm_drop_path", kAny},
                                {"timm_proj_bias", kAny},  // of another timm_proj
                                {"timm_pool", "map"},
                                {"timm_proj", "none"}};

constexpr Unread kTextKeys[] = {{"output_tokens", kAny},
                                {"pad_id", kAny},  // attention is causal: padding has no influence
                                {"eos_id", kAny},  // of another pool_type
                                {"hf_model_pretrained", kAny},  // of hf_model_name, and the next
                                {"hf_proj_type", kAny},
                                {"hf_pooler_type", kAny},
                                {"pool_type", "argmax"},
                                {"proj_type", "linear"}};

/// Of a text tower that is not causal.
constexpr Unread kPaddedTextKeys[] = {
    {"output_tokens", kAny}, {"hf_tokenizer_name", kAny},    // its files are the folder's
    {"pad_id", kAny},                                        // of another pool_type, and the next
    {"eos_id", kAny},        {"hf_model_pretrained", kAny},  // of hf_model_name
    {"hf_proj_type", kAny},  {"hf_pooler_type", kAny},
    {"pool_type", "last"},   {"proj_type", "linear"}};

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

constexpr TowerConfig kBase = {768, 3072, 12, 12, 1e-6};
constexpr TowerConfig kLarge = {1024, 4096, 24, 16, 1e-6};
constexpr TowerConfig kSo400m = {1152, 4304, 27, 16, 1e-6};
constexpr TowerConfig kGiant = {1536, 6144, 40, 16, 1e-6};

/// SigLIP's vision towers as timm defines them: not all with the activation they were trained with.
struct TimmTower {
  std::string_view name;
  TowerConfig tower;  // but for the activation
  std::int64_t patch_size;
  Activation activation;
};
constexpr TimmTower kTimmTowers[] = {
    {"vit_base_patch16_siglip_224", kBase, 16, Activation::kGelu},
    {"vit_base_patch16_siglip_256", kBase, 16, Activation::kGelu},
    {"vit_base_patch16_siglip_384", kBase, 16, Activation::kGelu},
    {"vit_base_patch16_siglip_512", kBase, 16, Activation::kGelu},
    {"vit_base_patch32_siglip_256", kBase, 32, Activation::kGeluTanh},
    {"vit_large_patch16_siglip_256", kLarge, 16, Activation::kGelu},
    {"vit_large_patch16_siglip_384", kLarge, 16, Activation::kGelu},
    {"vit_large_patch16_siglip_512", kLarge, 16, Activation::kGeluTanh},
    {"vit_so400m_patch14_siglip_224", kSo400m, 14, Activation::kGelu},
    {"vit_so400m_patch14_siglip_378", kSo400m, 14, Activation::kGelu},
    {"vit_so400m_patch14_siglip_384", kSo400m, 14, Activation::kGelu},
    {"vit_so400m_patch16_siglip_256", kSo400m, 16, Activation::kGeluTanh},
    {"vit_so400m_patch16_siglip_384", kSo400m, 16, Activation::kGeluTanh},
    {"vit_so400m_patch16_siglip_512", kSo400m, 16, Activation::kGeluTanh},
    {"vit_giantopt_patch16_siglip_256", kGiant, 16, Activation::kGeluTanh},
    {"vit_giantopt_patch16_siglip_384", kGiant, 16, Activation::kGeluTanh},
};

/// "gelu" or "gelu_tanh", as timm calls them.
void read_timm_activation(const JsonFields& fields, Activation& activation) {
  const Json* name = fields.find("act_layer");
  if (name == nullptr) return;
  if (*name == "gelu") {
    activation = Activation::kGelu;
  } else if (*name == "gelu_tanh") {
    activation = Activation::kGeluTanh;
  } else {
    fields.fail("act_layer", "is not supported; \"gelu\" and \"gelu_tanh\" are");
  }
}

/// A tower of timm: SigLIP's, whose sizes its name says unless timm_model_kwargs does.
VisionConfig read_timm_vision(const JsonFields& fields, const Json& kwargs,
                              const std::string& file) {
  VisionConfig config;
  config.pooling = ImagePooling::kAttention;
  const Json* name = fields.find("timm_model_name");
  const auto* known = std::ranges::find_if(
      kTimmTowers, [&](const TimmTower& tower) { return *name == tower.name; });
  if (known == std::end(kTimmTowers)) {
    fields.fail("timm_model_name", "is not supported; of timm's towers, those of SigLIP are");
  }
  config.tower = known->tower;
  config.tower.activation = known->activation;
  config.patch_size = known->patch_size;
  refuse_others(fields, {"image_size", "timm_model_name", "timm_model_kwargs"}, kTimmKeys);
  for (const char* key : {"timm_pool", "timm_proj"}) {
    if (fields.find(key) == nullptr) fields.fail(key, "must say how the tower ends");
  }
  fields.read_size("image_size", config.image_size);

  const JsonFields own(kwargs, file, "model_cfg.vision_cfg.timm_model_kwargs.");
  refuse_others(
      own, {"img_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "act_layer"},
      {});
  TowerConfig& tower = config.tower;
  std::int64_t side = config.image_size;
  own.read_size("img_size", side);
  if (side != config.image_size) {
    own.fail("img_size", fmt::format("must be the image_size, {}", config.image_size));
  }
  own.read_size("patch_size", config.patch_size);
  if (config.patch_size > config.image_size) {
    own.fail("patch_size", "must not exceed image_size");
  }
  const std::int64_t width = tower.width;
  own.read_size("embed_dim", tower.width);
  own.read_size("depth", tower.layers);
  own.read_size("num_heads", tower.heads);
  if (tower.width % tower.heads != 0) {
    own.fail("num_heads", fmt::format("must divide the width, {}", tower.width));
  }
  if (own.find("mlp_ratio") != nullptr || tower.width != width) read_mlp_width(own, tower);
  read_timm_activation(own, tower.activation);
  return config;
}

VisionConfig read_vision(const JsonFields& fields, Activation activation) {
  // A tower of another kind has few of the other keys: said first, it explains the most.
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

void read_text_sizes(const JsonFields& fields, TextConfig& config) {
  fields.read_size("context_length", config.context_length);
  fields.read_size("vocab_size", config.vocab_size);
  fields.read_size("width", config.tower.width);
  fields.read_size("heads", config.tower.heads);
  fields.read_size("layers", config.tower.layers);
  if (config.tower.width % config.tower.heads != 0) {
    fields.fail("heads", fmt::format("must divide the width, {}", config.tower.width));
  }
  read_mlp_width(fields, config.tower);
}

TextConfig read_text(const JsonFields& fields, Activation activation) {
  if (const Json* name = fields.find("hf_model_name"); name != nullptr && *name != "") {
    fields.fail("hf_model_name", "is not supported; only CLIP's and SigLIP's own text towers are");
  }
  refuse_others(fields, {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"},
                kTextKeys);
  TextConfig config;
  config.tower.activation = activation;
  config.eos_token_id = kEosIsLargestId;
  read_text_sizes(fields, config);
  return config;
}

/// SigLIP's text tower: not causal, padded texts, cleaned for a tokenizer of Hugging Face.
TextConfig read_padded_text(const JsonFields& fields, Activation activation,
                            const std::string& file) {
  refuse_others(fields,
                {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio",
                 "no_causal_mask", "proj_bias", "norm_kwargs", "act_kwargs", "tokenizer_kwargs"},
                kPaddedTextKeys);
  const Json* pool = fields.find("pool_type");
  if (pool == nullptr || *pool != "last") {
    fields.fail("pool_type", "must be \"last\" where texts are not causal");
  }
  bool bias = false;
  fields.read_flag("proj_bias", bias);
  if (!bias) fields.fail("proj_bias", "must be true where texts are not causal");

  const Json cleaning = section(fields, "tokenizer_kwargs");
  const JsonFields tokenizer(cleaning, file, "model_cfg.text_cfg.tokenizer_kwargs.");
  refuse_others(tokenizer, {"clean"}, {});
  const Json* clean = tokenizer.find("clean");
  if (clean == nullptr || *clean != "canonicalize") {
    tokenizer.fail("clean", "must be \"canonicalize\" where texts are not causal");
  }

  TextConfig config;
  config.pooling = TextPooling::kLastPosition;
  config.tower.activation = activation;
  const Json norm = section(fields, "norm_kwargs");
  const JsonFields norm_fields(norm, file, "model_cfg.text_cfg.norm_kwargs.");
  refuse_others(norm_fields, {"eps"}, {});
  norm_fields.read_number("eps", 0.0, 1.0, config.tower.layer_norm_eps);
  const Json act = section(fields, "act_kwargs");
  const JsonFields act_fields(act, file, "model_cfg.text_cfg.act_kwargs.");
  refuse_others(act_fields, {"approximate"}, {});
  if (const Json* approximate = act_fields.find("approximate"); approximate != nullptr) {
    if (*approximate == "tanh" && activation == Activation::kGelu) {
      config.tower.activation = Activation::kGeluTanh;
    } else if (*approximate != "none") {
      act_fields.fail("approximate", "is not supported; of a GELU, \"tanh\" and \"none\" are");
    }
  }
  read_text_sizes(fields, config);
  return config;
}

bool is_set(const JsonFields& fields, const char* key) {
  const Json* value = fields.find(key);
  return value != nullptr && *value != "" && *value != false;
}

}  // namespace

ClipConfig read_open_clip_model(const Json& root, const std::string& file) {
  const JsonFields top(root, file, "");
  if (top.find("model_cfg") == nullptr) top.fail("model_cfg", "must be an object");
  const Json model = section(top, "model_cfg");
  const JsonFields fields(model, file, "model_cfg.");
  bool quick_gelu = false;
  fields.read_flag("quick_gelu", quick_gelu);
  const Activation activation = quick_gelu ? Activation::kQuickGelu : Activation::kGelu;

  ClipConfig config;
  Json vision = section(fields, "vision_cfg");
  for (const char* key : {"image_size", "patch_size"}) unite_sides(vision, key);
  const JsonFields vision_fields(vision, file, "model_cfg.vision_cfg.");
  config.vision =
      is_set(vision_fields, "timm_model_name")
          ? read_timm_vision(vision_fields, section(vision_fields, "timm_model_kwargs"), file)
          : read_vision(vision_fields, activation);

  const Json text = section(fields, "text_cfg");
  const JsonFields text_fields(text, file, "model_cfg.text_cfg.");
  config.text = is_set(text_fields, "no_causal_mask")
                    ? read_padded_text(text_fields, activation, file)
                    : read_text(text_fields, activation);

  refuse_others(fields, {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg", "init_logit_bias"},
                kModelKeys);
  config.logit_bias = fields.find("init_logit_bias") != nullptr;
  fields.read_size("embed_dim", config.projection_dim);
  if (config.vision.pooling == ImagePooling::kAttention &&
      config.vision.tower.width != config.projection_dim) {
    fields.fail("embed_dim", fmt::format("must be the width of the vision tower, {}",
                                         config.vision.tower.width));
  }
  return config;
}

namespace {

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

}  // namespace

ImageProcessor read_open_clip_processor(const Json& root, const std::filesystem::path& path,
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
  return ImageProcessor::from_json({processor, file, ""}, CropRounding::kEven);
}

}  // namespace vitrine::encoder
