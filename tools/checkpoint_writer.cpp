#include "tools/checkpoint_writer.h"

#include <ATen/ATen.h>

#include <map>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "encoder/golden_vectors.h"
#include "encoder/safetensors.h"

namespace vitrine::tools {
namespace {

using Json = nlohmann::ordered_json;

void write_json(const std::filesystem::path& path, const Json& json) {
  write_file_atomically(path, json.dump(2) + "\n");
}

Json tower_json(const encoder::TowerConfig& tower) {
  return {{"hidden_size", tower.width},
          {"intermediate_size", tower.mlp_width},
          {"num_hidden_layers", tower.layers},
          {"num_attention_heads", tower.heads},
          {"layer_norm_eps", tower.layer_norm_eps},
          {"hidden_act", tower.activation == encoder::Activation::kGelu ? "gelu" : "quick_gelu"}};
}

Json config_json(const encoder::ClipConfig& config, const BpeVocabulary& vocabulary) {
  Json text = tower_json(config.text.tower);
  text["model_type"] = "clip_text_model";
  text["vocab_size"] = config.text.vocab_size;
  text["max_position_embeddings"] = config.text.context_length;
  text["projection_dim"] = config.projection_dim;
  text["bos_token_id"] = vocabulary.start_id();
  text["eos_token_id"] = vocabulary.end_id();
  text["pad_token_id"] = vocabulary.end_id();
  Json vision = tower_json(config.vision.tower);
  vision["model_type"] = "clip_vision_model";
  vision["num_channels"] = config.vision.channels;
  vision["image_size"] = config.vision.image_size;
  vision["patch_size"] = config.vision.patch_size;
  vision["projection_dim"] = config.projection_dim;
  return {{"architectures", {"CLIPModel"}},
          {"model_type", "clip"},
          {"projection_dim", config.projection_dim},
          {"logit_scale_init_value", 2.6592},
          {"text_config", text},
          {"vision_config", vision},
          {"torch_dtype", "float16"}};
}

Json processor_json(const encoder::ClipConfig& config) {
  const std::int64_t size = config.vision.image_size;
  Json json{{"image_processor_type", "CLIPImageProcessor"},
            {"do_convert_rgb", true},
            {"do_resize", true},
            {"size", {{"shortest_edge", size}}},
            {"resample", 3},
            {"do_center_crop", true},
            {"crop_size", {{"height", size}, {"width", size}}},
            {"do_rescale", true},
            {"rescale_factor", 1.0 / 255.0},
            {"do_normalize", true}};
  json["image_mean"] = {0.48145466, 0.4578275, 0.40821073};
  json["image_std"] = {0.26862954, 0.26130258, 0.27577711};
  return json;
}

Json tokenizer_json(const encoder::ClipConfig& config) {
  const auto added = [](const char* content, bool normalized) {
    return Json{{"__type", "AddedToken"},   {"content", content}, {"lstrip", false},
                {"normalized", normalized}, {"rstrip", false},    {"single_word", false}};
  };
  return {{"tokenizer_class", "CLIPTokenizer"},
          {"add_prefix_space", false},
          {"do_lower_case", true},
          {"errors", "replace"},
          {"model_max_length", config.text.context_length},
          {"bos_token", added("<|startoftext|>", true)},
          {"eos_token", added("<|endoftext|>", false)},
          {"unk_token", added("<|endoftext|>", false)},
          {"pad_token", "<|endoftext|>"}};
}

void write_weights(const std::filesystem::path& path, const encoder::WeightMap& weights) {
  std::map<std::string, encoder::FloatTensor> tensors;
  for (const auto& [name, weight] : weights) {
    const at::Tensor values = weight.detach().to(at::kFloat).contiguous();
    const float* begin = values.data_ptr<float>();
    tensors[name] = {values.sizes().vec(), {begin, begin + values.numel()}};
  }
  encoder::write_safetensors(path, tensors, encoder::DType::kF16);
}

}  // namespace

void write_checkpoint(const std::filesystem::path& folder, const encoder::ClipConfig& config,
                      const encoder::WeightMap& weights, const BpeVocabulary& vocabulary) {
  std::filesystem::create_directories(folder);
  std::filesystem::remove(folder / encoder::kGoldenFile);  // of other weights
  write_json(folder / "config.json", config_json(config, vocabulary));
  write_json(folder / "preprocessor_config.json", processor_json(config));
  write_json(folder / "tokenizer_config.json", tokenizer_json(config));
  vocabulary.save(folder);
  write_weights(folder / "model.safetensors", weights);
}

}  // namespace vitrine::tools
