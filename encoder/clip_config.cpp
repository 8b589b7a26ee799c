#include "encoder/clip_config.h"

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
  } else {
    fields.fail("hidden_act", "must be \"quick_gelu\" or \"gelu\"");
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

}  // namespace

ClipConfig parse_clip_config(const std::filesystem::path& path) {
  const std::string file = path.string();
  const Json root = read_json_object(path, kMaxConfigBytes);
  const JsonFields top(root, file, "");
  const Json* type = top.find("model_type");
  if (type == nullptr || *type != "clip") top.fail("model_type", "must be \"clip\"");

  ClipConfig config;
  top.read_size("projection_dim", config.projection_dim);

  const JsonFields text(tower_object(root, "text_config", file), file, "text_config.");
  read_tower(text, config.text.tower);
  text.read_size("vocab_size", config.text.vocab_size);
  text.read_size("max_position_embeddings", config.text.context_length);
  text.read_id("eos_token_id", config.text.eos_token_id);

  const JsonFields vision(tower_object(root, "vision_config", file), file, "vision_config.");
  read_tower(vision, config.vision.tower);
  vision.read_size("num_channels", config.vision.channels);
  vision.read_size("image_size", config.vision.image_size);
  vision.read_size("patch_size", config.vision.patch_size);
  if (config.vision.patch_size > config.vision.image_size) {
    vision.fail("patch_size", "must not exceed image_size");
  }
  return config;
}

}  // namespace vitrine::encoder
