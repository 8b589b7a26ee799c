#include "encoder/cpu/block_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <span>
#include <type_traits>

namespace vitrine::encoder::cpu {
namespace {

/// A linear layer as a checkpoint has it, until the next one is read.
struct Layer {
  MatrixView weights;  // [outputs, inputs]
  std::span<const float> bias;
};

/// Reads a tower's layers one after the other into the same memory: freed layer by layer, much of
/// it would stay with the process.
class LayerReader {
 public:
  LayerReader(const WeightReader& reader, const TowerConfig& config)
      : reader_(reader),
        width_(static_cast<std::size_t>(config.width)),
        padded_width_(
            static_cast<std::size_t>(round_up(static_cast<int>(config.width), kPanelColumns))),
        query_scale_(
            1.0F / std::sqrt(static_cast<float>(config.width) / static_cast<float>(config.heads))),
        weights_(width_ * std::max<std::size_t>(3 * padded_width_,
                                                static_cast<std::size_t>(config.mlp_width))),
        bias_(weights_.size() / width_) {}

  const WeightReader& weights() const { return reader_; }

  Layer layer(const std::string& name, std::int64_t outputs, std::int64_t inputs) {
    const auto rows = static_cast<std::size_t>(outputs);
    const auto cols = static_cast<std::size_t>(inputs);
    read(name, 0, rows, cols);
    return {{weights_.data(), rows, cols}, std::span(bias_).first(rows)};
  }

  /// Queries, keys and values one under the other, as BlockWeights has them. probe: what all
  /// queries are made of, where that is known; their weights are zeros then.
  Layer query_key_value(const std::string& attention, std::span<const float> probe) {
    if (padded_width_ > width_) {
      std::ranges::fill(weights_, 0.0F);
      std::ranges::fill(bias_, 0.0F);
    }
    read(attention + "q_proj", 0, width_, width_);
    read(attention + "k_proj", padded_width_, width_, width_);
    read(attention + "v_proj", 2 * padded_width_, width_, width_);
    for (std::size_t i = 0; i < width_; ++i) {
      const std::span<float> weights(weights_.data() + i * width_, width_);
      if (!probe.empty()) {
        const double product = std::inner_product(probe.begin(), probe.end(), weights.begin(), 0.0);
        bias_[i] = static_cast<float>(product + bias_[i]);
        std::ranges::fill(weights, 0.0F);
      }
      for (float& weight : weights) weight *= query_scale_;
      bias_[i] *= query_scale_;
    }
    return {{weights_.data(), 3 * padded_width_, width_},
            std::span(bias_).first(3 * padded_width_)};
  }

 private:
  void read(const std::string& name, std::size_t first, std::size_t outputs, std::size_t inputs) {
    reader_.read(name + ".weight", std::span(weights_).subspan(first * inputs, outputs * inputs));
    reader_.read(name + ".bias", std::span(bias_).subspan(first, outputs));
  }

  const WeightReader& reader_;
  const std::size_t width_;
  const std::size_t padded_width_;
  const float query_scale_;
  std::vector<float> weights_;
  std::vector<float> bias_;
};

/// Takes a block's layers in the order in which rows go through them, and packs them into the
/// pages.
template <typename Linear>
class BlockPacker {
 public:
  BlockPacker(const Kernels& kernels, HugePages& pages) : kernels_(kernels), pages_(pages) {}

  NormWeights pack(NormWeights norm) {
    if constexpr (kQuantized) {
      spread_.mean = norm.shift;
      spread_.deviation.clear();
      for (const float scale : norm.scale) spread_.deviation.push_back(std::abs(scale));
    }
    return norm;
  }
  /// The next layer reads outputs [first, first + count) of this one.
  Linear pack(const Layer& layer, int first, std::int64_t count) {
    if constexpr (kQuantized) {
      Linear linear(kernels_, layer.weights, layer.bias, outlier_columns(spread_), &pages_);
      const auto row = static_cast<std::size_t>(first);
      const auto rows = static_cast<std::size_t>(count);
      spread_ = spread_of_outputs({layer.weights.row(row).data(), rows, layer.weights.cols},
                                  layer.bias.subspan(row, rows), spread_);
      return linear;
    } else {
      return {kernels_, layer.weights, layer.bias, &pages_};
    }
  }

 private:
  static constexpr bool kQuantized =
      std::is_same_v<Linear, QuantizedLinear<typename Linear::Value>>;
  const Kernels& kernels_;
  HugePages& pages_;
  ColumnSpread spread_;  // of what the next layer reads
};

/// A block of the layers with these names. probe: see LayerReader.
template <typename Linear>
BlockWeights<Linear> load_block(const Kernels& kernels, LayerReader& reader,
                                const TowerConfig& config, HugePages& pages,
                                const std::string& norm1, const std::string& attention,
                                const std::string& out, const std::string& norm2,
                                const std::string& mlp, std::span<const float> probe = {}) {
  const std::int64_t width = config.width;
  BlockPacker<Linear> packer(kernels, pages);
  BlockWeights<Linear> block;
  block.norm1 = packer.pack(reader.weights().norm(norm1, width));
  // What attention hands on are values, if mixed; they stand behind queries and keys.
  block.query_key_value = packer.pack(reader.query_key_value(attention, probe),
                                      2 * round_up(static_cast<int>(width), kPanelColumns), width);
  block.out = packer.pack(reader.layer(out, width, width), 0, width);
  block.norm2 = packer.pack(reader.weights().norm(norm2, width));
  block.fc1 = packer.pack(reader.layer(mlp + "fc1", config.mlp_width, width), 0, config.mlp_width);
  block.fc2 = packer.pack(reader.layer(mlp + "fc2", width, config.mlp_width), 0, width);
  return block;
}

}  // namespace

template <typename Linear>
std::vector<BlockWeights<Linear>> BlockLoader<Linear>::load(const Kernels& kernels,
                                                            const WeightReader& reader,
                                                            const std::string& tower,
                                                            const TowerConfig& config,
                                                            ThreadTeam& team, HugePages& pages) {
  std::vector<BlockWeights<Linear>> blocks(static_cast<std::size_t>(config.layers));
  std::atomic<std::size_t> next{0};
  run_throwing(team, [&](int) {
    std::size_t i = next++;
    if (i >= blocks.size()) return;  // without memory for a layer
    for (LayerReader layers(reader, config); i < blocks.size(); i = next++) {
      const std::string name = fmt::format("{}.encoder.layers.{}.", tower, i);
      blocks[i] = load_block<Linear>(kernels, layers, config, pages, name + "layer_norm1",
                                     name + "self_attn.", name + "self_attn.out_proj",
                                     name + "layer_norm2", name + "mlp.");
    }
  });
  return blocks;
}

template <typename Linear>
BlockWeights<Linear> BlockLoader<Linear>::load_pooling(const Kernels& kernels,
                                                       const WeightReader& reader,
                                                       const TowerConfig& config,
                                                       HugePages& pages) {
  const std::string head = "vision_model.head.";
  LayerReader layers(reader, config);
  // The probe's query is the same for every image, and known: a bias.
  return load_block<Linear>(kernels, layers, config, pages, "vision_model.post_layernorm",
                            head + "attention.", head + "attention.out_proj", head + "layernorm",
                            head + "mlp.", reader.vector(head + "probe", config.width));
}

template struct BlockLoader<PackedLinear<float>>;
template struct BlockLoader<PackedLinear<BFloat16>>;
template struct BlockLoader<BlockFloatLinear>;
template struct BlockLoader<QuantizedLinear<float>>;
template struct BlockLoader<QuantizedLinear<BFloat16>>;

}  // namespace vitrine::encoder::cpu
