#include "tests/encoder/formula_checkpoint.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "encoder/safetensors.h"

namespace vitrine::encoder {
namespace {

/// A weight is offset + r * scale.
struct Rule {
  float offset = 0;
  float scale = 0;
};

Rule rule_for(std::string_view tensor) {
  const auto contains = [&](std::string_view part) {
    return tensor.find(part) != std::string_view::npos;
  };
  if (tensor == "logit_scale") return {4.0F, 0.0F};
  if (contains("layer_norm") || contains("layrnorm") || contains("layernorm")) {
    if (tensor.ends_with(".weight")) return {1.0F, 0x1p-2F};
    if (tensor.ends_with(".bias")) return {0.0F, 0x1p-3F};
  }
  if (tensor.ends_with(".bias")) return {0.0F, 0x1p-4F};
  if (tensor.ends_with("token_embedding.weight")) return {0.0F, 1.0F};
  if (tensor.ends_with("position_embedding.weight")) return {0.0F, 0x1p-2F};
  if (tensor.ends_with("class_embedding")) return {0.0F, 0x1p-1F};
  if (tensor.ends_with("patch_embedding.weight") || tensor.ends_with("fc2.weight")) {
    return {0.0F, 0x1p-5F};
  }
  return {0.0F, 0x1p-4F};
}

float weight(std::uint64_t seed, Rule rule, std::uint64_t i) {
  std::uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  z ^= z >> 31;
  const float r = static_cast<float>(z >> 40) * 0x1p-23F - 1.0F;
  return rule.offset + r * rule.scale;
}

}  // namespace

std::uint64_t formula_seed(std::string_view tensor) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char byte : tensor) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3ULL;
  }
  return hash;
}

float formula_weight(std::string_view tensor, std::uint64_t i) {
  return weight(formula_seed(tensor), rule_for(tensor), i);
}

void make_formula_checkpoint(const std::filesystem::path& folder,
                             const std::filesystem::path& fixtures) {
  const std::filesystem::path source = fixtures / "vit-b-32-formula";
  std::filesystem::create_directories(folder);
  for (const char* name : {"config.json", "preprocessor_config.json", "tokenizer_config.json"}) {
    write_file_atomically(folder / name, read_file(source / name, 1 << 20));
  }
  for (const char* name : {"vocab.json", "merges.txt"}) {
    write_file_atomically(folder / name, read_file(fixtures / "clip-bpe" / name, 16 << 20));
  }

  const auto description =
      nlohmann::json::parse(read_file(source / "tensor_shapes.json", 16 << 20));
  SafetensorsWriter::Shapes shapes;
  for (const auto& [name, shape] : description["tensors"].items()) {
    shapes.emplace_back(name, shape.get<std::vector<std::int64_t>>());
  }
  SafetensorsWriter writer(folder / "model.safetensors", shapes, DType::kF32);
  constexpr std::uint64_t chunk = 1 << 20;
  std::vector<float> values;
  for (const auto& [name, shape] : shapes) {
    std::uint64_t elements = 1;
    for (const std::int64_t extent : shape) elements *= static_cast<std::uint64_t>(extent);
    const std::uint64_t seed = formula_seed(name);
    const Rule rule = rule_for(name);
    for (std::uint64_t begin = 0; begin < elements; begin += chunk) {
      values.resize(std::min(chunk, elements - begin));
      for (std::uint64_t i = 0; i < values.size(); ++i) {
        values[i] = weight(seed, rule, begin + i);
      }
      writer.append(values);
    }
  }
  writer.finish();
}

}  // namespace vitrine::encoder
