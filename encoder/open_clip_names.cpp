#include "encoder/open_clip_names.h"

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

namespace vitrine::encoder {
namespace {

struct Renaming {
  std::string_view hugging_face;
  std::string_view open_clip;
};

/// Beginnings of names; what follows stays, but for a block's.
constexpr Renaming kTextNames[] = {
    {"text_model.embeddings.token_embedding.", "token_embedding."},
    {"text_model.embeddings.position_embedding.weight", "positional_embedding"},
    {"text_model.encoder.layers.", "transformer.resblocks."},
    {"text_model.final_layer_norm.", "ln_final."},
    {"text_projection.weight", "text_projection"},
    {"text_model.head.", "text_projection."},
};

constexpr Renaming kVisionNames[] = {
    {"vision_model.embeddings.class_embedding", "visual.class_embedding"},
    {"vision_model.embeddings.patch_embedding.", "visual.conv1."},
    {"vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"},
    {"vision_model.pre_layrnorm.", "visual.ln_pre."},
    {"vision_model.encoder.layers.", "visual.transformer.resblocks."},
    {"vision_model.post_layernorm.", "visual.ln_post."},
    {"visual_projection.weight", "visual.proj"},
};

/// Of a block, behind its number.
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

/// The same of a vision tower of timm.
constexpr Renaming kTimmNames[] = {
    {"vision_model.embeddings.patch_embedding.", "visual.trunk.patch_embed.proj."},
    {"vision_model.embeddings.position_embedding.weight", "visual.trunk.pos_embed"},
    {"vision_model.encoder.layers.", "visual.trunk.blocks."},
    {"vision_model.post_layernorm.", "visual.trunk.norm."},
    {"vision_model.head.probe", "visual.trunk.attn_pool.latent"},
    {"vision_model.head.attention.q_proj.", "visual.trunk.attn_pool.q."},
    {"vision_model.head.attention.k_proj.", "visual.trunk.attn_pool.kv."},
    {"vision_model.head.attention.v_proj.", "visual.trunk.attn_pool.kv."},
    {"vision_model.head.attention.out_proj.", "visual.trunk.attn_pool.proj."},
    {"vision_model.head.layernorm.", "visual.trunk.attn_pool.norm."},
    {"vision_model.head.mlp.", "visual.trunk.attn_pool.mlp."},
};

constexpr Renaming kTimmBlockNames[] = {
    {".layer_norm1.", ".norm1."},
    {".self_attn.q_proj.", ".attn.qkv."},
    {".self_attn.k_proj.", ".attn.qkv."},
    {".self_attn.v_proj.", ".attn.qkv."},
    {".self_attn.out_proj.", ".attn.proj."},
    {".layer_norm2.", ".norm2."},
};

/// A tower's names begin with this, or the name is left alone.
std::string rename(std::string name, std::span<const Renaming> names,
                   std::span<const Renaming> block_names) {
  const auto found = std::ranges::find_if(
      names, [&](const Renaming& entry) { return name.starts_with(entry.hugging_face); });
  if (found == names.end()) return name;
  if (found->hugging_face.ends_with(".layers.")) {
    for (const Renaming& entry : block_names) {
      const auto position = name.find(entry.hugging_face);
      if (position == std::string::npos) continue;
      name.replace(position, entry.hugging_face.size(), entry.open_clip);
      break;
    }
  }
  return name.replace(0, found->hugging_face.size(), found->open_clip);
}

/// Which of the tensor's equal parts the weight is, one under the other.
struct Part {
  std::int64_t index = 0;
  std::int64_t count = 1;
};

Part part_of(std::string_view name) {
  const bool pooling = name.starts_with("vision_model.head.");
  if (pooling && name.find(".q_proj.") != std::string_view::npos) return {};
  const std::int64_t first = pooling ? 1 : 0;  // queries are apart there
  const char* parts[] = {".q_proj.", ".k_proj.", ".v_proj."};
  for (std::int64_t i = 0; i < 3; ++i) {
    if (name.find(parts[i]) != std::string_view::npos) return {i - first, 3 - first};
  }
  return {};
}

bool has(const WeightFiles& files, const std::string& name) {
  return files.tensors().contains(name);
}

}  // namespace

WeightLayout open_clip_layout(const ClipConfig& config, const WeightFiles& files) {
  const bool timm = config.vision.pooling == ImagePooling::kAttention;
  const std::string patches = timm ? "visual.trunk.patch_embed.proj.weight" : "visual.conv1.weight";
  std::string prefix;  // nothing, or what a class that wraps the model adds
  for (const char* candidate : {"model.", "module."}) {
    if (has(files, candidate + patches)) prefix = candidate;
  }
  // A class for text towers of any kind has them as a part of their own.
  const std::string text_prefix =
      prefix + (has(files, prefix + "text.token_embedding.weight") ? "text." : "");

  const auto place_of = [=](const std::string& name, const WeightShape& shape) {
    const bool text = name.starts_with("text_");
    WeightPlace place{text   ? text_prefix + rename(name, kTextNames, kBlockNames)
                      : timm ? prefix + rename(name, kTimmNames, kTimmBlockNames)
                             : prefix + rename(name, kVisionNames, kBlockNames),
                      shape};
    if (name.ends_with("_projection.weight")) {  // stored as it multiplies from the right
      std::reverse(place.shape.begin(), place.shape.end());
      place.transposed = true;
    }
    if (timm && name == "vision_model.embeddings.position_embedding.weight") {
      place.shape.insert(place.shape.begin(), 1);
    }
    if (const Part part = part_of(name); part.count > 1) {
      place.first_row = part.index * shape.front();
      place.shape.front() *= part.count;
    }
    return place;
  };
  return {place_of, "attn_mask"};
}

}  // namespace vitrine::encoder
