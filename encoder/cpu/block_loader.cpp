#include "encoder/cpu/block_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <numeric>
#include <span>
#include <type_traits>

namespace vitrine::encoder::cpu {
namespace {

/// Queries, keys and values one under the other, as BlockWeights has them. parts: of [width,
/// width].
LayerWeights query_key_value(const std::array<LayerWeights, 3>& parts, const TowerConfig& config) {
  const auto width = static_cast<std::size_t>(config.width);
  const auto padded = static_cast<std::size_t>(round_up(static_cast<int>(width), kPanelColumns));
  const float query_scale =
      1.0F / std::sqrt(static_cast<float>(config.width) / static_cast<float>(config.heads));
  LayerWeights all{Matrix(3 * padded, width), std::vector<float>(3 * padded)};
  std::size_t first = 0;
  for (const LayerWeights& one : parts) {
    const float scale = first == 0 ? query_scale : 1.0F;
    const auto scaled = [scale](float value) { return value * scale; };
    std::transform(one.weights.data(), one.weights.data() + width * width,
                   all.weights.row(first).data(), scaled);
    std::ranges::transform(one.bias, all.bias.begin() + static_cast<std::ptrdiff_t>(first), scaled);
    first += padded;
  }
  return all;
}

std::array<LayerWeights, 3> read_attention(const WeightReader& reader, const std::string& attention,
                                           const TowerConfig& config) {
  const auto part = [&](const char* projection) {
    return reader.layer(attention + projection, config.width, config.width);
  };
  return {part("q_proj"), part("k_proj"), part("v_proj")};
}

/// Reads a block's layers in the order in which rows go through them, and packs them.
template <typename Linear>
class BlockPacker {
 public:
  explicit BlockPacker(const Kernels& kernels) : kernels_(kernels) {}

  NormWeights pack(NormWeights norm) {
    if constexpr (kQuantized) {
      spread_.mean = norm.shift;
      spread_.deviation.clear();
      for (const float scale : norm.scale) spread_.deviation.push_back(std::abs(scale));
    }
    return norm;
  }
  /// The next layer reads outputs [first, first + count) of this one.
  Linear pack(const LayerWeights& layer, int first, std::int64_t count) {
    if constexpr (kQuantized) {
      Linear linear(kernels_, layer.weights, layer.bias, outlier_columns(spread_));
      const auto row = static_cast<std::size_t>(first);
      const auto rows = static_cast<std::size_t>(count);
      spread_ = spread_of_outputs({layer.weights.row(row).data(), rows, layer.weights.cols()},
                                  std::span(layer.bias).subspan(row, rows), spread_);
      return linear;
    } else {
      return {kernels_, layer.weights, layer.bias};
    }
  }

 private:
  static constexpr bool kQuantized = std::is_same_v<Linear, QuantizedLinear>;
  const Kernels& kernels_;
  ColumnSpread spread_;  // of what the next layer reads
};

/// Calls load(i) for i in [0, count), on all threads of the team; rethrows the first exception.
template <typename Load>
void load_in_parallel(ThreadTeam& team, int count, const Load& load) {
  std::atomic<int> next{0};
  run_throwing(team, [&](int) {
    for (int i = next++; i < count; i = next++) load(i);
  });
}

/// A block of the layers with these names. attention: its queries, keys and values.
template <typename Linear>
BlockWeights<Linear> load_block(const Kernels& kernels, const WeightReader& reader,
                                const TowerConfig& config, const std::string& norm1,
                                const std::array<LayerWeights, 3>& attention,
                                const std::string& out, const std::string& norm2,
                                const std::string& mlp) {
  const std::int64_t width = config.width;
  BlockPacker<Linear> packer(kernels);
  BlockWeights<Linear> block;
  block.norm1 = packer.pack(reader.norm(norm1, width));
  // What attention hands on are values, if mixed; they stand behind queries and keys.
  block.query_key_value = packer.pack(query_key_value(attention, config),
                                      2 * round_up(static_cast<int>(width), kPanelColumns), width);
  block.out = packer.pack(reader.layer(out, width, width), 0, width);
  block.norm2 = packer.pack(reader.norm(norm2, width));
  block.fc1 = packer.pack(reader.layer(mlp + "fc1", config.mlp_width, width), 0, config.mlp_width);
  block.fc2 = packer.pack(reader.layer(mlp + "fc2", width, config.mlp_width), 0, width);
  return block;
}

}  // namespace

template <typename Linear>
std::vector<BlockWeights<Linear>> load_blocks(const Kernels& kernels, const WeightReader& reader,
                                              const std::string& tower, const TowerConfig& config,
                                              ThreadTeam& team) {
  std::vector<BlockWeights<Linear>> blocks(static_cast<std::size_t>(config.layers));
  load_in_parallel(team, static_cast<int>(config.layers), [&](int layer) {
    const std::string name = fmt::format("{}.encoder.layers.{}.", tower, layer);
    blocks[static_cast<std::size_t>(layer)] =
        load_block<Linear>(kernels, reader, config, name + "layer_norm1",
                           read_attention(reader, name + "self_attn.", config),
                           name + "self_attn.out_proj", name + "layer_norm2", name + "mlp.");
  });
  return blocks;
}

template <typename Linear>
BlockWeights<Linear> load_pooling_block(const Kernels& kernels, const WeightReader& reader,
                                        const TowerConfig& config) {
  const std::string head = "vision_model.head.";
  std::array<LayerWeights, 3> attention = read_attention(reader, head + "attention.", config);
  // The probe's query is the same for every image, and known: a bias.
  LayerWeights& query = attention.front();
  const std::vector<float> probe = reader.vector(head + "probe", config.width);
  for (std::size_t i = 0; i < query.bias.size(); ++i) {
    const std::span<float> weights = query.weights.row(i);
    const double product = std::inner_product(probe.begin(), probe.end(), weights.begin(), 0.0);
    query.bias[i] = static_cast<float>(product + query.bias[i]);
    std::ranges::fill(weights, 0.0F);
  }
  return load_block<Linear>(kernels, reader, config, "vision_model.post_layernorm", attention,
                            head + "attention.out_proj", head + "layernorm", head + "mlp.");
}

template std::vector<BlockWeights<PackedLinear<float>>> load_blocks(
    const Kernels&, const WeightReader&, const std::string&, const TowerConfig&, ThreadTeam&);
template BlockWeights<PackedLinear<float>> load_pooling_block(const Kernels&, const WeightReader&,
                                                              const TowerConfig&);
template std::vector<BlockWeights<PackedLinear<BFloat16>>> load_blocks(
    const Kernels&, const WeightReader&, const std::string&, const TowerConfig&, ThreadTeam&);
template BlockWeights<PackedLinear<BFloat16>> load_pooling_block(const Kernels&,
                                                                 const WeightReader&,
                                                                 const TowerConfig&);
template std::vector<BlockWeights<BlockFloatLinear>> load_blocks(const Kernels&,
                                                                 const WeightReader&,
                                                                 const std::string&,
                                                                 const TowerConfig&, ThreadTeam&);
template BlockWeights<BlockFloatLinear> load_pooling_block(const Kernels&, const WeightReader&,
                                                           const TowerConfig&);
template std::vector<BlockWeights<QuantizedLinear>> load_blocks(const Kernels&, const WeightReader&,
                                                                const std::string&,
                                                                const TowerConfig&, ThreadTeam&);
template BlockWeights<QuantizedLinear> load_pooling_block(const Kernels&, const WeightReader&,
                                                          const TowerConfig&);

}  // namespace vitrine::encoder::cpu
