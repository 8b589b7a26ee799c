#include "tiny_checkpoint.h"

#include <cmath>
#include <cstdint>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "encoder/safetensors.h"

namespace vitrine::engine {
namespace {

constexpr std::int64_t kWidth = 32;
constexpr std::int64_t kMlpWidth = 64;
constexpr std::int64_t kProjection = 16;
constexpr std::int64_t kContext = 24;
constexpr std::int64_t kImageSize = 32;
constexpr std::int64_t kPatch = 8;
constexpr std::int64_t kVocabulary = 514;  // 256 bytes, 256 that end a word, two marks

/// The character that stands for a byte in the vocabulary, as GPT-2 chose them.
std::vector<std::string> byte_characters() {
  const auto utf8 = [](int code_point) {
    if (code_point < 0x80) return std::string(1, static_cast<char>(code_point));
    return std::string{static_cast<char>(0xC0 | (code_point >> 6)),
                       static_cast<char>(0x80 | (code_point & 0x3F))};
  };
  std::vector<std::string> characters;
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
    characters.push_back(utf8(printable ? byte : next++));
  }
  return characters;
}

class Weights {
 public:
  explicit Weights(int seed) : random_(static_cast<unsigned>(seed)) {}

  void normal(const std::string& name, std::vector<std::int64_t> shape) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    std::normal_distribution<float> distribution(0,
                                                 1 / std::sqrt(static_cast<float>(shape.back())));
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) value = distribution(random_);
    tensors_[name] = {std::move(shape), std::move(values)};
  }
  void constant(const std::string& name, std::vector<std::int64_t> shape, float value) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    tensors_[name] = {std::move(shape), std::vector<float>(static_cast<std::size_t>(count), value)};
  }
  void linear(const std::string& name, std::int64_t out, std::int64_t in) {
    normal(name + ".weight", {out, in});
    constant(name + ".bias", {out}, 0);
  }
  void norm(const std::string& name) {
    constant(name + ".weight", {kWidth}, 1);
    constant(name + ".bias", {kWidth}, 0);
  }
  void layer(const std::string& tower) {
    const std::string name = tower + ".encoder.layers.0.";
    norm(name + "layer_norm1");
    norm(name + "layer_norm2");
    for (const char* part : {"q_proj", "k_proj", "v_proj", "out_proj"}) {
      linear(name + "self_attn." + part, kWidth, kWidth);
    }
    linear(name + "mlp.fc1", kMlpWidth, kWidth);
    linear(name + "mlp.fc2", kWidth, kMlpWidth);
  }
  const std::map<std::string, encoder::FloatTensor>& tensors() const { return tensors_; }

 private:
  std::mt19937 random_;
  std::map<std::string, encoder::FloatTensor> tensors_;
};

}  // namespace

void write_tiny_checkpoint(const std::filesystem::path& folder, int seed) {
  std::filesystem::create_directories(folder);
  const auto write = [&](const char* name, const nlohmann::json& json) {
    std::ofstream(folder / name) << json.dump(1);
  };
  write("config.json", {{"model_type", "clip"},
                        {"projection_dim", kProjection},
                        {"text_config",
                         {{"hidden_size", kWidth},
                          {"intermediate_size", kMlpWidth},
                          {"num_hidden_layers", 1},
                          {"num_attention_heads", 2},
                          {"vocab_size", kVocabulary},
                          {"max_position_embeddings", kContext},
                          {"bos_token_id", kVocabulary - 2},
                          {"eos_token_id", kVocabulary - 1}}},
                        {"vision_config",
                         {{"hidden_size", kWidth},
                          {"intermediate_size", kMlpWidth},
                          {"num_hidden_layers", 1},
                          {"num_attention_heads", 2},
                          {"image_size", kImageSize},
                          {"patch_size", kPatch}}}});
  write("preprocessor_config.json", {{"do_resize", true},
                                     {"size", {{"shortest_edge", kImageSize}}},
                                     {"resample", 3},
                                     {"do_center_crop", true},
                                     {"crop_size", {{"height", kImageSize}, {"width", kImageSize}}},
                                     {"do_rescale", true},
                                     {"rescale_factor", 1.0 / 255},
                                     {"do_normalize", true},
                                     {"do_convert_rgb", true},
                                     {"image_mean", {0.48145466, 0.4578275, 0.40821073}},
                                     {"image_std", {0.26862954, 0.26130258, 0.27577711}}});
  nlohmann::json vocabulary;
  const std::vector<std::string> characters = byte_characters();
  for (std::size_t byte = 0; byte < characters.size(); ++byte) {
    vocabulary[characters[byte]] = byte;
    vocabulary[characters[byte] + "</w>"] = 256 + byte;
  }
  vocabulary["<|startoftext|>"] = kVocabulary - 2;
  vocabulary["<|endoftext|>"] = kVocabulary - 1;
  write("vocab.json", vocabulary);
  std::ofstream(folder / "merges.txt") << "#version: 0.2\n";

  Weights weights(seed);
  weights.constant("logit_scale", {}, 3);
  weights.normal("text_model.embeddings.token_embedding.weight", {kVocabulary, kWidth});
  weights.normal("text_model.embeddings.position_embedding.weight", {kContext, kWidth});
  weights.layer("text_model");
  weights.norm("text_model.final_layer_norm");
  weights.normal("text_projection.weight", {kProjection, kWidth});
  constexpr std::int64_t kPositions = (kImageSize / kPatch) * (kImageSize / kPatch) + 1;
  weights.normal("vision_model.embeddings.class_embedding", {kWidth});
  weights.normal("vision_model.embeddings.patch_embedding.weight", {kWidth, 3, kPatch, kPatch});
  weights.normal("vision_model.embeddings.position_embedding.weight", {kPositions, kWidth});
  weights.norm("vision_model.pre_layrnorm");
  weights.layer("vision_model");
  weights.norm("vision_model.post_layernorm");
  weights.normal("visual_projection.weight", {kProjection, kWidth});
  encoder::write_safetensors(folder / "model.safetensors", weights.tensors(), encoder::DType::kF32);
}

}  // namespace vitrine::engine
