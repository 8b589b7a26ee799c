#include "encoder/clip_config.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "encoder/json_file.h"

namespace vitrine::encoder {
namespace {

using Json = nlohmann::json;

void read_activation(const JsonFields& fields, Activation& value) {
  const Json* field = fields.find("hidden_act");
  if (field == nullptr) return;
  if (*field == "quick_gelu") {
    value = Activation::kQuickGelu;
  } else if (*field == "gelu") {
    value = Activation::kGelu;
  } else if (*field == "gelu_pytorch_tanh") {
    value = Activation::kGeluTanh;
  } else {
    fields.fail("hidden_act", "must be \"quick_gelu\", \"gelu\" or \"gelu_pytorch_tanh\"");
  }
}

void read_tower(const JsonFields& fields, TowerConfig& tower) {
  fields.read_size("hidden_size", tower.width);
  fields.read_size("intermediate_size", tower.mlp_width);
  fields.read_size("num_hidden_layers", tower.layers);
  fields.read_size("num_attention_heads", tower.heads);
  fields.read_number("layer_norm_eps", 0.0, 1.0, tower.layer_norm_eps);
  read_activation(fields, tower.activation);
  if (tower.width % tower.heads != 0) {
    fields.fail("num_attention_heads",
                "must divide the width of the tower, " + std::to_string(tower.width));
  }
}

/// The settings of one tower. Where an old config has both forms, `<key>_dict` is what the model
/// was built from.
const Json& tower_object(const Json& root, const std::string& key, const std::string& file) {
  static const Json empty = Json::object();
  for (const std::string& name : {key + "_dict", key}) {
    const auto found = root.find(name);
    if (found == root.end() || found->is_null()) continue;
    if (!found->is_object()) throw invalid_argument(file + ": " + name + " must be an object");
    return *found;
  }
  return empty;
}

void check_model_type(const JsonFields& top, const char* expected) {
  const Json* type = top.find("model_type");
  if (type == nullptr || *type != expected) {
    top.fail("model_type", fmt::format("must be \"{}\"", expected));
  }
}

void read_text(const JsonFields& fields, TextConfig& text) {
  read_tower(fields, text.tower);
  fields.read_size("vocab_size", text.vocab_size);
  fields.read_size("max_position_embeddings", text.context_length);
}

void read_vision(const JsonFields& fields, VisionConfig& vision) {
  read_tower(fields, vision.tower);
  fields.read_size("num_channels", vision.channels);
  fields.read_size("image_size", vision.image_size);
  fields.read_size("patch_size", vision.patch_size);
  if (vision.patch_size > vision.image_size) {
    fields.fail("patch_size", "must not exceed image_size");
  }
}

}  // namespace

ClipConfig parse_clip_config(const std::filesystem::path& path) {
  const std::string file = path.string();
  const Json root = read_json_object(path, kMaxConfigBytes);
  const JsonFields top(root, file, "");
  check_model_type(top, "clip");

  ClipConfig config;
  top.read_size("projection_dim", config.projection_dim);
  const JsonFields text(tower_object(root, "text_config", file), file, "text_config.");
  read_text(text, config.text);
  text.read_id("eos_token_id", config.text.eos_token_id);
  read_vision({tower_object(root, "vision_config", file), file, "vision_config."}, config.vision);
  return config;
}

ClipConfig parse_siglip_config(const std::filesystem::path& path) {
  const std::string file = path.string();
  const Json root = read_json_object(path, kMaxConfigBytes);
  const JsonFields top(root, file, "");
  check_model_type(top, "siglip");

  ClipConfig config;
  config.logit_bias = true;
  // The defaults of SiglipTextConfig and SiglipVisionConfig.
  config.text.tower = {768, 3072, 12, 12, 1e-6, Activation::kGeluTanh};
  config.text.vocab_size = 32000;
  config.text.context_length = 64;
  config.text.pooling = TextPooling::kLastPosition;
  config.vision.tower = config.text.tower;
  config.vision.patch_size = 16;
  config.vision.pooling = ImagePooling::kAttention;

  const JsonFields text(tower_object(root, "text_config", file), file, "text_config.");
  read_text(text, config.text);
  config.projection_dim = config.text.tower.width;
  text.read_size("projection_size", config.projection_dim);
  const JsonFields vision(tower_object(root, "vision_config", file), file, "vision_config.");
  read_vision(vision, config.vision);
  bool pools = true;
  vision.read_flag("vision_use_head", pools);
  if (!pools) vision.fail("vision_use_head", "must be true: it makes the embeddings");
  if (config.vision.tower.width != config.projection_dim) {
    vision.fail("hidden_size",
                fmt::format("must be the width of a text embedding, {}", config.projection_dim));
  }
  return config;
}

}  // namespace vitrine::encoder
