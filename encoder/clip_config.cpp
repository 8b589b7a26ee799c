#include "encoder/clip_config.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"

namespace vitrine::encoder {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMaxConfigBytes = 16ull << 20;
constexpr std::int64_t kMaxSize = 1 << 20;

/// The fields of one JSON object, with errors that name the file and the whole key.
class Fields {
 public:
  Fields(const Json& object, std::string file, std::string prefix)
      : object_(object), file_(std::move(file)), prefix_(std::move(prefix)) {}

  void read_size(const char* key, std::int64_t& value) const {
    const Json* field = find(key);
    if (field == nullptr) return;
    if (!field->is_number_integer()) fail(key, *field, "a positive integer");
    const auto number = field->get<std::int64_t>();
    if (number < 1 || number > kMaxSize) fail(key, *field, "an integer in [1, 1048576]");
    value = number;
  }

  void read_id(const char* key, std::int64_t& value) const {
    const Json* field = find(key);
    if (field == nullptr) return;
    if (!field->is_number_integer() || field->get<std::int64_t>() < 0) {
      fail(key, *field, "a token id");
    }
    value = field->get<std::int64_t>();
  }

  void read_eps(const char* key, double& value) const {
    const Json* field = find(key);
    if (field == nullptr) return;
    if (!field->is_number()) fail(key, *field, "a number");
    const double number = field->get<double>();
    if (!(number > 0.0 && number < 1.0)) fail(key, *field, "a number in (0, 1)");
    value = number;
  }

  void read_activation(const char* key, Activation& value) const {
    const Json* field = find(key);
    if (field == nullptr) return;
    if (*field == "quick_gelu") {
      value = Activation::kQuickGelu;
    } else if (*field == "gelu") {
      value = Activation::kGelu;
    } else {
      fail(key, *field, "\"quick_gelu\" or \"gelu\"");
    }
  }

  void read_tower(TowerConfig& tower) const {
    read_size("hidden_size", tower.width);
    read_size("intermediate_size", tower.mlp_width);
    read_size("num_hidden_layers", tower.layers);
    read_size("num_attention_heads", tower.heads);
    read_eps("layer_norm_eps", tower.layer_norm_eps);
    read_activation("hidden_act", tower.activation);
    if (tower.width % tower.heads != 0) {
      throw invalid_argument(file_ + ": " + prefix_ + "hidden_size " + std::to_string(tower.width) +
                             " is not a multiple of num_attention_heads " +
                             std::to_string(tower.heads));
    }
  }

 private:
  const Json* find(const char* key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  [[noreturn]] void fail(const char* key, const Json& field, const std::string& wanted) const {
    throw invalid_argument(file_ + ": " + prefix_ + key + " is " + field.dump().substr(0, 80) +
                           "; it must be " + wanted);
  }

  const Json& object_;
  std::string file_;
  std::string prefix_;
};

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
  Json root;
  try {
    root = Json::parse(read_file(path, kMaxConfigBytes));
  } catch (const Json::exception& error) {
    throw invalid_argument(file + " is not valid JSON: " + error.what());
  }
  if (!root.is_object()) throw invalid_argument(file + " must hold a JSON object");
  if (const auto type = root.find("model_type"); type != root.end() && *type != "clip") {
    throw invalid_argument(file + ": model_type is " + type->dump().substr(0, 80) +
                           "; only \"clip\" can be loaded");
  }

  ClipConfig config;
  const Fields top(root, file, "");
  top.read_size("projection_dim", config.projection_dim);

  const Fields text(tower_object(root, "text_config", file), file, "text_config.");
  text.read_tower(config.text.tower);
  text.read_size("vocab_size", config.text.vocab_size);
  text.read_size("max_position_embeddings", config.text.context_length);
  text.read_id("eos_token_id", config.text.eos_token_id);

  const Fields vision(tower_object(root, "vision_config", file), file, "vision_config.");
  vision.read_tower(config.vision.tower);
  vision.read_size("num_channels", config.vision.channels);
  vision.read_size("image_size", config.vision.image_size);
  vision.read_size("patch_size", config.vision.patch_size);
  if (config.vision.patch_size > config.vision.image_size) {
    throw invalid_argument(file + ": vision_config.patch_size is larger than image_size");
  }
  return config;
}

}  // namespace vitrine::encoder
