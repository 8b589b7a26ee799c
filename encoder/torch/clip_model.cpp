#include "encoder/torch/clip_model.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace vitrine::encoder {
namespace {

struct Linear {
  at::Tensor weight, bias;
  at::Tensor operator()(const at::Tensor& x) const { return at::linear(x, weight, bias); }
};

struct LayerNorm {
  at::Tensor weight, bias;
  at::Tensor operator()(const at::Tensor& x, double eps) const {
    return at::layer_norm(x, {weight.size(0)}, weight, bias, eps);
  }
};

struct Block {
  LayerNorm norm1, norm2;
  Linear query, key, value, out, fc1, fc2;
};

std::string layer_name(const std::string& tower, std::int64_t layer) {
  return tower + ".encoder.layers." + std::to_string(layer) + ".";
}

at::Tensor activate(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kQuickGelu:
      return x * at::sigmoid(x * 1.702);
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kGeluTanh:
      return at::gelu(x, "tanh");
  }
  throw internal_error("unknown activation");
}

/// Attention of queries [n or 1, rows, width] to keys and values [n, tokens, width], head by head.
/// mask: added to the scores [rows, tokens]; undefined for none. Returns [n, rows, width].
at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                  const TowerConfig& config, const at::Tensor& mask) {
  const std::int64_t depth = config.width / config.heads;
  const auto split_heads = [&](const at::Tensor& t) {  // [n, heads, rows, depth]
    return t.view({t.size(0), t.size(1), config.heads, depth}).transpose(1, 2);
  };
  at::Tensor scores = at::matmul(split_heads(query * (1.0 / std::sqrt(double(depth)))),
                                 split_heads(key).transpose(2, 3));
  if (mask.defined()) scores = scores + mask;
  return at::matmul(at::softmax(scores, -1), split_heads(value)).transpose(1, 2).flatten(2);
}

/// The attention of one learned query to all patches of an image, and an MLP beside it.
struct AttentionPooling {
  at::Tensor probe;  // [1, 1, width]
  Linear query, key, value, out, fc1, fc2;
  LayerNorm norm;

  /// x: [n, tokens, width]. Returns [n, width].
  at::Tensor operator()(const at::Tensor& x, const TowerConfig& config) const {
    const at::Tensor pooled = out(attend(query(probe), key(x), value(x), config, {}).select(1, 0));
    return pooled + fc2(activate(fc1(norm(pooled, config.layer_norm_eps)), config.activation));
  }
};

/// Looks weights up and checks their shapes.
class WeightSource {
 public:
  WeightSource(const ClipConfig& config, const WeightMap& weights)
      : shapes_(expected_weights(config)), weights_(weights) {}

  at::Tensor tensor(const std::string& name) const {
    const auto found = weights_.find(name);
    if (found == weights_.end()) throw invalid_argument("weight " + name + " is missing");
    const at::IntArrayRef wanted(shapes_.at(name));
    if (found->second.sizes() != wanted) {
      throw invalid_argument("weight " + name + " has not the shape its config asks for");
    }
    return found->second;
  }
  Linear linear(const std::string& name) const {
    return {tensor(name + ".weight"), tensor(name + ".bias")};
  }
  LayerNorm norm(const std::string& name) const {
    return {tensor(name + ".weight"), tensor(name + ".bias")};
  }
  std::vector<Block> blocks(const std::string& tower, const TowerConfig& config) const {
    std::vector<Block> blocks;
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
      const std::string name = layer_name(tower, layer);
      blocks.push_back({norm(name + "layer_norm1"), norm(name + "layer_norm2"),
                        linear(name + "self_attn.q_proj"), linear(name + "self_attn.k_proj"),
                        linear(name + "self_attn.v_proj"), linear(name + "self_attn.out_proj"),
                        linear(name + "mlp.fc1"), linear(name + "mlp.fc2")});
    }
    return blocks;
  }

  AttentionPooling pooling(const std::string& name) const {
    return {tensor(name + "probe"),
            linear(name + "attention.q_proj"),
            linear(name + "attention.k_proj"),
            linear(name + "attention.v_proj"),
            linear(name + "attention.out_proj"),
            linear(name + "mlp.fc1"),
            linear(name + "mlp.fc2"),
            norm(name + "layernorm")};
  }

 private:
  WeightShapes shapes_;
  const WeightMap& weights_;
};

/// x: [n, tokens, width]; mask: as for attend().
at::Tensor run_blocks(at::Tensor x, const std::vector<Block>& blocks, const TowerConfig& config,
                      const at::Tensor& mask) {
  for (const Block& block : blocks) {
    const at::Tensor normed = block.norm1(x, config.layer_norm_eps);
    x = x + block.out(
                attend(block.query(normed), block.key(normed), block.value(normed), config, mask));
    const at::Tensor hidden = block.fc1(block.norm2(x, config.layer_norm_eps));
    x = x + block.fc2(activate(hidden, config.activation));
  }
  return x;
}

}  // namespace

struct ClipModel::Weights {
  at::Tensor token_embedding, text_positions;
  Linear text_projection;
  std::vector<Block> text_blocks;
  LayerNorm text_norm;

  at::Tensor class_embedding, vision_positions, visual_projection;
  Linear patch_embedding;
  LayerNorm pre_norm, post_norm;
  AttentionPooling pooling;
  std::vector<Block> vision_blocks;

  at::Tensor logit_scale;
};

ClipModel::ClipModel(const ClipConfig& config, const WeightMap& weights)
    : config_(config), weights_(std::make_unique<Weights>()) {
  const WeightSource source(config, weights);
  Weights& w = *weights_;
  w.token_embedding = source.tensor("text_model.embeddings.token_embedding.weight");
  w.text_positions = source.tensor("text_model.embeddings.position_embedding.weight");
  w.text_blocks = source.blocks("text_model", config.text.tower);
  w.text_norm = source.norm("text_model.final_layer_norm");
  if (config.text.pooling == TextPooling::kEndToken) {
    w.text_projection = {source.tensor("text_projection.weight"), {}};
  } else {
    w.text_projection = source.linear("text_model.head");
  }
  w.patch_embedding.weight = source.tensor("vision_model.embeddings.patch_embedding.weight");
  w.vision_positions = source.tensor("vision_model.embeddings.position_embedding.weight");
  w.vision_blocks = source.blocks("vision_model", config.vision.tower);
  w.post_norm = source.norm("vision_model.post_layernorm");
  if (config.vision.pooling == ImagePooling::kClassToken) {
    w.class_embedding = source.tensor("vision_model.embeddings.class_embedding");
    w.pre_norm = source.norm("vision_model.pre_layrnorm");
    w.visual_projection = source.tensor("visual_projection.weight");
  } else {
    w.patch_embedding.bias = source.tensor("vision_model.embeddings.patch_embedding.bias");
    w.pooling = source.pooling("vision_model.head.");
  }
  w.logit_scale = source.tensor("logit_scale");
}

ClipModel::~ClipModel() = default;
ClipModel::ClipModel(ClipModel&&) noexcept = default;
ClipModel& ClipModel::operator=(ClipModel&&) noexcept = default;

at::Tensor ClipModel::encode_images(const at::Tensor& pixel_values) const {
  const Weights& w = *weights_;
  const TowerConfig& tower = config_.vision.tower;
  const std::int64_t n = pixel_values.size(0), patch = config_.vision.patch_size;
  // [n, width, grid, grid] -> [n, patches, width]
  const at::Tensor patches =
      at::conv2d(pixel_values, w.patch_embedding.weight, w.patch_embedding.bias, patch)
          .flatten(2)
          .transpose(1, 2);
  if (config_.vision.pooling == ImagePooling::kAttention) {
    const at::Tensor x = run_blocks(patches + w.vision_positions, w.vision_blocks, tower, {});
    return w.pooling(w.post_norm(x, tower.layer_norm_eps), tower);
  }
  const at::Tensor first = w.class_embedding.expand({n, 1, tower.width});
  at::Tensor x = at::cat({first, patches}, 1) + w.vision_positions;
  x = run_blocks(w.pre_norm(x, tower.layer_norm_eps), w.vision_blocks, tower, {});
  const at::Tensor pooled = w.post_norm(x.select(1, 0), tower.layer_norm_eps);
  return at::linear(pooled, w.visual_projection);
}

at::Tensor ClipModel::encode_texts(const at::Tensor& input_ids) const {
  const Weights& w = *weights_;
  const TowerConfig& tower = config_.text.tower;
  const std::int64_t n = input_ids.size(0), length = input_ids.size(1);
  if (config_.text.pooling == TextPooling::kLastPosition) {
    const at::Tensor padded = at::constant_pad_nd(
        input_ids, {0, config_.text.context_length - length}, config_.text.pad_token_id);
    const at::Tensor x = run_blocks(at::embedding(w.token_embedding, padded) + w.text_positions,
                                    w.text_blocks, tower, {});
    return w.text_projection(w.text_norm(x.select(1, -1), tower.layer_norm_eps));
  }
  at::Tensor x = at::embedding(w.token_embedding, input_ids) + w.text_positions.slice(0, 0, length);
  const at::Tensor causal = at::full({length, length}, -std::numeric_limits<float>::infinity(),
                                     x.options().requires_grad(false))
                                .triu_(1);
  x = run_blocks(x, w.text_blocks, tower, causal);
  const bool old_rule = config_.text.eos_token_id == kEosIsLargestId;
  const at::Tensor end =  // argmax of a boolean is its first true
      old_rule ? input_ids.argmax(1)
               : input_ids.eq(config_.text.eos_token_id).to(at::kInt).argmax(1);
  const at::Tensor rows = at::arange(n, input_ids.options());
  const at::Tensor pooled = w.text_norm(x.index({rows, end}), tower.layer_norm_eps);
  return w.text_projection(pooled);
}

const at::Tensor& ClipModel::logit_scale() const { return weights_->logit_scale; }

}  // namespace vitrine::encoder
