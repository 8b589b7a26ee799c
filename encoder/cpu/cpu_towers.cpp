#include "encoder/cpu/cpu_towers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <exception>
#include <mutex>
#include <type_traits>

#include "base/error.h"
#include "base/thread_team.h"
#include "encoder/cpu/teamwork.h"
#include "encoder/cpu/transformer.h"

namespace vitrine::encoder::cpu {
namespace {

/// Of a linear layer, as a checkpoint has them.
struct LayerWeights {
  Matrix weights;  // [outputs, inputs]
  std::vector<float> bias;
};

class Reader {
 public:
  explicit Reader(const ReadWeight& read) : read_(read) {}

  std::vector<float> vector(const std::string& name, std::int64_t size) const {
    std::vector<float> values(static_cast<std::size_t>(size));
    read_(name, values);
    return values;
  }
  Matrix matrix(const std::string& name, std::int64_t rows, std::int64_t cols) const {
    Matrix values(static_cast<std::size_t>(rows), static_cast<std::size_t>(cols));
    read_(name, {values.data(), values.rows() * values.cols()});
    return values;
  }
  NormWeights norm(const std::string& name, std::int64_t width) const {
    return {vector(name + ".weight", width), vector(name + ".bias", width)};
  }
  LayerWeights layer(const std::string& name, std::int64_t outputs, std::int64_t inputs) const {
    return {matrix(name + ".weight", outputs, inputs), vector(name + ".bias", outputs)};
  }

 private:
  const ReadWeight& read_;
};

LayerWeights query_key_value(const Reader& reader, const std::string& attention,
                             const TowerConfig& config) {
  const auto width = static_cast<std::size_t>(config.width);
  const auto padded = static_cast<std::size_t>(round_up(static_cast<int>(width), kPanelColumns));
  const float query_scale =
      1.0F / std::sqrt(static_cast<float>(config.width) / static_cast<float>(config.heads));
  LayerWeights all{Matrix(3 * padded, width), std::vector<float>(3 * padded)};
  std::size_t first = 0;
  for (const char* part : {"q_proj", "k_proj", "v_proj"}) {
    const LayerWeights one = reader.layer(attention + part, config.width, config.width);
    const float scale = first == 0 ? query_scale : 1.0F;
    const auto scaled = [scale](float value) { return value * scale; };
    std::transform(one.weights.data(), one.weights.data() + width * width,
                   all.weights.row(first).data(), scaled);
    std::ranges::transform(one.bias, all.bias.begin() + static_cast<std::ptrdiff_t>(first), scaled);
    first += padded;
  }
  return all;
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

/// team.run() of what may throw; rethrows the first exception once all have ended.
template <typename Work>
void run_throwing(ThreadTeam& team, const Work& work) {
  std::mutex mutex;
  std::exception_ptr failure;
  team.run([&](int rank) {
    try {
      work(rank);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  });
  if (failure) std::rethrow_exception(failure);
}

/// Calls load(i) for i in [0, count), on all threads of the team; rethrows the first exception.
template <typename Load>
void load_in_parallel(ThreadTeam& team, int count, const Load& load) {
  std::atomic<int> next{0};
  run_throwing(team, [&](int) {
    for (int i = next++; i < count; i = next++) load(i);
  });
}

template <typename Linear>
std::vector<BlockWeights<Linear>> load_blocks(const Kernels& kernels, const Reader& reader,
                                              const std::string& tower, const TowerConfig& config,
                                              ThreadTeam& team) {
  std::vector<BlockWeights<Linear>> blocks(static_cast<std::size_t>(config.layers));
  load_in_parallel(team, static_cast<int>(config.layers), [&](int layer) {
    const std::string name = fmt::format("{}.encoder.layers.{}.", tower, layer);
    const std::int64_t width = config.width;
    BlockWeights<Linear>& block = blocks[static_cast<std::size_t>(layer)];
    BlockPacker<Linear> packer(kernels);
    block.norm1 = packer.pack(reader.norm(name + "layer_norm1", width));
    // What attention hands on are values, if mixed; they stand behind queries and keys.
    block.query_key_value =
        packer.pack(query_key_value(reader, name + "self_attn.", config),
                    2 * round_up(static_cast<int>(width), kPanelColumns), width);
    block.out = packer.pack(reader.layer(name + "self_attn.out_proj", width, width), 0, width);
    block.norm2 = packer.pack(reader.norm(name + "layer_norm2", width));
    block.fc1 =
        packer.pack(reader.layer(name + "mlp.fc1", config.mlp_width, width), 0, config.mlp_width);
    block.fc2 = packer.pack(reader.layer(name + "mlp.fc2", width, config.mlp_width), 0, width);
  });
  return blocks;
}

/// What embeds the patches of an image, before blocks of such layers.
template <typename Linear>
using PatchLinear =
    std::conditional_t<std::is_same_v<Linear, QuantizedLinear>, PackedLinear<BFloat16>, Linear>;

/// A transformer, the threads' workspaces, and the way from pooled rows to embeddings.
/// input_columns: of what the first block's input is computed from, 0 for nothing.
template <typename Linear>
class Tower {
 public:
  using Value = typename Linear::Value;

  Tower(const Kernels& kernels, const TowerConfig& config, bool causal,
        std::vector<BlockWeights<Linear>> blocks, NormWeights final_norm,
        PackedLinear<float> projection, int input_columns)
      : kernels_(kernels),
        config_(config),
        transformer_(kernels, config, causal, std::move(blocks)),
        final_norm_(std::move(final_norm)),
        projection_(std::move(projection)),
        input_columns_(input_columns) {}

  using Workspace = typename Transformer<Linear>::Workspace;
  using InputRows = typename PatchLinear<Linear>::Rows;

  std::size_t hidden_stride() const { return transformer_.hidden_stride(); }
  int width() const { return static_cast<int>(config_.width); }

  /// What kStartRow stands for from now on. hidden: [width], the first block's input.
  void learn_start(std::span<const float> hidden) {
    Workspace workspace(kernels_, config_, 1, 1);
    std::ranges::copy(hidden, workspace.hidden());
    transformer_.learn_start(workspace);
  }
  void reserve_known(int rows) { transformer_.reserve_known(rows); }

  /// Takes a batch through the tower; returns the embeddings of its sequences. embed(share, chunk,
  /// input, hidden) writes the first block's input of the chunk's rows to hidden, at
  /// hidden_stride(); input is room for [rows, input_columns], as products read it.
  template <typename Embed>
  Matrix run(ThreadTeam& team, const BatchPlan& plan, const Embed& embed) {
    Matrix embeddings(plan.sequences(), static_cast<std::size_t>(projection_.outputs()));
    const auto work = [&](const Share& share, const Chunk& chunk, Lane& lane) {
      run_chunk(share, chunk, lane, embed, embeddings);
    };
    const bool together = plan.together && team.size() > 1;
    if (together && !teamwork_.next_together()) {
      reserve(1, most_rows(plan), team.size());
      for (const Chunk& chunk : plan.chunks) work({}, chunk, lanes_[0]);
      return embeddings;
    }
    const auto start = std::chrono::steady_clock::now();
    for_each_chunk(team, plan, work);
    if (together) {
      teamwork_.judge(std::chrono::steady_clock::now() - start, team.waited(), team.size());
    }
    return embeddings;
  }

  /// Calls work(run) on every thread of the team. run(plan, embed) is run() of a batch of at most
  /// so many rows, on that thread alone. Rethrows the first exception once all have ended.
  template <typename Work>
  void run_alone(ThreadTeam& team, int rows, const Work& work) {
    reserve(team.size(), rows, team.size());
    run_throwing(team, [&](int rank) {
      Lane& lane = lanes_[static_cast<std::size_t>(rank)];
      work([&](const BatchPlan& plan, const auto& embed) {
        Matrix embeddings(plan.sequences(), static_cast<std::size_t>(projection_.outputs()));
        for (const Chunk& chunk : plan.chunks) run_chunk({}, chunk, lane, embed, embeddings);
        return embeddings;
      });
    });
  }

  /// The products of run() on rows of any values, and nothing else. input: the layer whose outputs
  /// are the first block's input, of which each sequence has one more.
  void multiply_only(ThreadTeam& team, const BatchPlan& plan, const PatchLinear<Linear>& input) {
    const auto drop = [](int, int, int, int, const float*, const float*) {};
    for_each_chunk(team, plan, [&](const Share& share, const Chunk& chunk, Lane& lane) {
      const int count = static_cast<int>(chunk.sequences.size());
      const auto [begin, end] = share.of(input.panels());
      input.multiply(kernels_, lane.input, chunk.rows - count, begin, end, nullptr, drop);
      transformer_.multiply_only(share, chunk.rows, lane.workspace);
      const auto [first, last] = share.of(projection_.panels());
      projection_.multiply(kernels_, lane.pooled, count, first, last, nullptr, drop);
    });
  }

 private:
  struct Lane {
    Workspace workspace;
    ProductRows<float> pooled;  // [rows, width]
    InputRows input;            // [rows, input_columns]
  };

  /// embeddings: of all sequences of the batch.
  template <typename Embed>
  void run_chunk(const Share& share, const Chunk& chunk, Lane& lane, const Embed& embed,
                 Matrix& embeddings) {
    embed(share, chunk, lane.input, lane.workspace.hidden());
    share.barrier();
    transformer_.run(share, chunk.sequences, chunk.new_known, lane.workspace);
    project(share, static_cast<int>(chunk.sequences.size()), lane,
            embeddings.row(chunk.first_sequence).data());
    share.barrier();
  }

  static int most_rows(const BatchPlan& plan) {
    int most = 0;
    for (const Chunk& chunk : plan.chunks) most = std::max(most, chunk.rows);
    return most;
  }

  /// Calls work(share, chunk, lane) on the team's threads.
  template <typename Work>
  void for_each_chunk(ThreadTeam& team, const BatchPlan& plan, const Work& work) {
    if (plan.chunks.empty()) return;
    reserve(plan.together ? 1 : team.size(), most_rows(plan), team.size());
    if (plan.together && team.size() > 1) {
      team.run([&](int rank) {
        for (const Chunk& chunk : plan.chunks)
          work(Share{rank, team.size(), &team}, chunk, lanes_[0]);
      });
      return;
    }
    std::atomic<std::size_t> next{0};
    team.run([&](int rank) {
      for (std::size_t i = next++; i < plan.chunks.size(); i = next++) {
        work(Share{}, plan.chunks[i], lanes_[static_cast<std::size_t>(rank)]);
      }
    });
  }

  void reserve(int lanes, int rows, int threads) {
    lanes_.resize(std::max(lanes_.size(), static_cast<std::size_t>(lanes)));
    for (int i = 0; i < lanes; ++i) {
      Lane& lane = lanes_[static_cast<std::size_t>(i)];
      if (lane.workspace.rows() >= rows) continue;
      lane = {};  // what is too small goes before what is large enough comes
      lane = {Workspace(kernels_, config_, rows, threads), {rows, width(), false}, {}};
      if (input_columns_ == 0) continue;
      if constexpr (std::is_same_v<InputRows, ProductRows<Value>>) {
        lane.input = {rows, input_columns_, reads_tiles<Value>(kernels_)};
      } else {
        lane.input = {kernels_, rows, input_columns_};
      }
    }
  }

  /// embeddings: [rows, outputs], contiguous.
  void project(const Share& share, int rows, Lane& lane, float* embeddings) const {
    const auto [begin, end] = share.of(rows);
    for (int row = begin; row < end; ++row) {
      kernels_.layer_norm(lane.workspace.hidden() + static_cast<std::size_t>(row) * hidden_stride(),
                          final_norm_.scale.data(), final_norm_.shift.data(),
                          static_cast<float>(config_.layer_norm_eps), width(),
                          lane.pooled.at(row, 0));
    }
    share.barrier();
    const auto outputs = static_cast<std::size_t>(projection_.outputs());
    multiply_shared(
        kernels_, share, projection_, lane.pooled, rows, 0, projection_.panels(), nullptr,
        [&](int row, int count, int column, int columns, const float* sums, const float* bias) {
          kernels_.add_bias(sums, bias, count, columns,
                            embeddings + static_cast<std::size_t>(row) * outputs + column, outputs);
        });
  }

  const Kernels& kernels_;
  const TowerConfig config_;
  Transformer<Linear> transformer_;
  const NormWeights final_norm_;
  const PackedLinear<float> projection_;
  const int input_columns_;
  Teamwork teamwork_;
  std::vector<Lane> lanes_;  // what one group of threads that work together has for itself
};

/// Where the text's embedding is taken from, by Hugging Face's two rules (see TextConfig).
int pooled_position(const std::vector<std::int32_t>& ids, const TextConfig& config) {
  if (config.eos_token_id == 2) {
    return static_cast<int>(std::ranges::max_element(ids) - ids.begin());
  }
  const auto found = std::ranges::find(ids, config.eos_token_id);
  return found == ids.end() ? 0 : static_cast<int>(found - ids.begin());
}

template <typename Value>
Value to_value(const Kernels& kernels, float value) {
  if constexpr (std::is_same_v<Value, float>) {
    return value;
  } else {
    Value rounded;
    kernels.to_bf16(&value, 1, &rounded);
    return rounded;
  }
}

/// What texts begin with that is remembered: of ViT-B/32 12 MB, half of it in bfloat16.
constexpr int kKnownTokens = 255;

template <typename Linear>
class CpuTowers : public ClipTowers {
 public:
  using Value = typename Linear::Value;

  CpuTowers(const ClipConfig& config, const ImageProcessor& processor, const Reader& reader,
            std::int32_t start_id, const Kernels& kernels, int threads)
      : config_(config),
        kernels_(kernels),
        start_id_(start_id),
        team_(threads),
        text_(load_tower(reader, "text_model", config.text.tower, true,
                         "text_model.final_layer_norm", "text_projection.weight", 0)),
        vision_(load_tower(reader, "vision_model", config.vision.tower, false,
                           "vision_model.post_layernorm", "visual_projection.weight",
                           patch_inputs(config.vision))) {
    load_text_tables(reader);
    load_vision_tables(reader);
    std::vector<float> start(static_cast<std::size_t>(text_.width()));
    write_token({start_id, 0}, start.data());
    text_.learn_start(start);
    for (std::size_t channel = 0; channel < 3; ++channel) {
      for (std::size_t byte = 0; byte < 256; ++byte) {
        pixel_values_[channel][byte] =
            to_value<Value>(kernels, processor.pixel_values()[channel][byte]);
      }
    }
  }

  bool multiply_as_for_images(int images) override {
    vision_.multiply_only(
        team_, plan_images(static_cast<std::size_t>(images), image_tokens(), team_.size()),
        patch_embedding_);
    return true;
  }

  Matrix encode_images(std::span<const Image> images) override {
    return vision_.run(team_, plan_images(images.size(), image_tokens(), team_.size()),
                       embedding_of(images));
  }

  void encode_images_from(ImageFeed& feed, std::size_t most) override {
    const int tokens = image_tokens();
    const std::size_t images = std::min(most, images_of_piece(tokens));
    vision_.run_alone(team_, static_cast<int>(images) * tokens, [&](const auto& run) {
      encode_pieces(feed, images, [&](std::span<const Image> piece) {
        return run(plan_images(piece.size(), tokens, 1), embedding_of(piece));
      });
    });
  }

  Matrix encode_texts(std::span<const std::vector<std::int32_t>> texts) override {
    std::vector<std::span<const std::int32_t>> pooled;
    pooled.reserve(texts.size());
    for (const std::vector<std::int32_t>& ids : texts) {
      // Attention is causal: what follows the pooled token has no influence.
      pooled.push_back(
          {ids.data(), static_cast<std::size_t>(pooled_position(ids, config_.text)) + 1});
    }
    try {
      return encode_pooled(pooled);
    } catch (...) {
      prefixes_.clear();  // which promise rows that may not have been filled
      throw;
    }
  }

 private:
  /// texts: ids up to the token that is pooled.
  Matrix encode_pooled(std::span<const std::span<const std::int32_t>> texts) {
    const TextPlan plan = plan_texts(texts, start_id_, team_.size(), prefixes_);
    const bool remembers = std::ranges::any_of(
        plan.chunks, [](const Chunk& chunk) { return !chunk.new_known.empty(); });
    if (remembers) text_.reserve_known(prefixes_.rows());
    const Matrix distinct =
        text_.run(team_, plan, [&](const Share& share, const Chunk& chunk, auto&, float* hidden) {
          const auto [begin, end] = share.of(chunk.rows);
          for (int row = begin; row < end; ++row) {
            write_token(plan.tokens[static_cast<std::size_t>(chunk.first_row + row)],
                        hidden + static_cast<std::size_t>(row) * text_.hidden_stride());
          }
        });
    Matrix embeddings(texts.size(), distinct.cols());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      std::ranges::copy(distinct.row(plan.sequence[i]), embeddings.row(i).begin());
    }
    return embeddings;
  }

  /// Writes the first block's input: see Tower::run(). images: of the batch.
  auto embedding_of(std::span<const Image> images) const {
    return [this, images, tokens = image_tokens()](const Share& share, const Chunk& chunk,
                                                   auto& patches, float* hidden) {
      const int count = static_cast<int>(chunk.sequences.size());
      const int rows = count * (tokens - 1);
      std::vector<Value> values(static_cast<std::size_t>(patch_embedding_.inputs()));
      share.take_each(rows, [&](int row) {
        write_patch(images[chunk.first_sequence + static_cast<std::size_t>(row / (tokens - 1))],
                    row % (tokens - 1), values.data());
        patch_embedding_.write_row(kernels_, values.data(), row, patches);
      });
      share.barrier();
      const auto hidden_row = [&](int row) {
        return hidden + static_cast<std::size_t>(row) * vision_.hidden_stride();
      };
      multiply_shared(
          kernels_, share, patch_embedding_, patches, rows, 0, patch_embedding_.panels(), nullptr,
          [&](int row, int block, int column, int columns, const float* sums, const float*) {
            for (int i = 0; i < block; ++i) {
              const int patch = (row + i) % (tokens - 1);
              kernels_.add_bias(
                  sums + i * kPanelColumns,
                  positions_.row(static_cast<std::size_t>(patch) + 1).data() + column, 1, columns,
                  hidden_row((row + i) / (tokens - 1) * tokens + 1 + patch) + column, 0);
            }
          });
      share.barrier();
      share.take_each(count * tokens, [&](int row) {
        const float* input = row % tokens == 0 ? positions_.row(0).data() : hidden_row(row);
        kernels_.layer_norm(input, pre_norm_.scale.data(), pre_norm_.shift.data(),
                            static_cast<float>(config_.vision.tower.layer_norm_eps),
                            vision_.width(), hidden_row(row));
      });
    };
  }

  static int patch_inputs(const VisionConfig& vision) {
    return static_cast<int>(vision.channels * vision.patch_size * vision.patch_size);
  }
  int grid() const {
    return static_cast<int>(config_.vision.image_size / config_.vision.patch_size);
  }

  int image_tokens() const { return grid() * grid() + 1; }

  Tower<Linear> load_tower(const Reader& reader, const std::string& name, const TowerConfig& tower,
                           bool causal, const std::string& norm, const std::string& projection,
                           int input_columns) {
    return {kernels_,
            tower,
            causal,
            load_blocks<Linear>(kernels_, reader, name, tower, team_),
            reader.norm(norm, tower.width),
            {kernels_, reader.matrix(projection, config_.projection_dim, tower.width), {}},
            input_columns};
  }

  void load_text_tables(const Reader& reader) {
    const TextConfig& text = config_.text;
    const Matrix tokens = reader.matrix("text_model.embeddings.token_embedding.weight",
                                        text.vocab_size, text.tower.width);
    if constexpr (kBlockFloat) {
      token_embedding_ = {kernels_, static_cast<int>(tokens.rows()),
                          static_cast<int>(tokens.cols())};
      for (std::size_t i = 0; i < tokens.rows(); ++i) {
        token_embedding_.write(kernels_, static_cast<int>(i), tokens.row(i));
      }
    } else {
      token_embedding_ = AlignedBuffer<Value>(tokens.rows() * tokens.cols());
      if constexpr (std::is_same_v<Value, float>) {
        std::copy_n(tokens.data(), token_embedding_.size(), token_embedding_.data());
      } else {
        kernels_.to_bf16(tokens.data(), token_embedding_.size(), token_embedding_.data());
      }
    }
    text_positions_ = reader.matrix("text_model.embeddings.position_embedding.weight",
                                    text.context_length, text.tower.width);
  }

  void load_vision_tables(const Reader& reader) {
    const VisionConfig& vision = config_.vision;
    const std::string embeddings = "vision_model.embeddings.";
    patch_embedding_ = {kernels_,
                        reader.matrix(embeddings + "patch_embedding.weight", vision.tower.width,
                                      patch_inputs(vision)),
                        {}};
    positions_ = reader.matrix(embeddings + "position_embedding.weight",
                               std::int64_t{grid()} * grid() + 1, vision.tower.width);
    const std::vector<float> class_embedding =
        reader.vector(embeddings + "class_embedding", vision.tower.width);
    std::ranges::transform(class_embedding, positions_.row(0), positions_.row(0).begin(),
                           std::plus<>());
    pre_norm_ = reader.norm("vision_model.pre_layrnorm", vision.tower.width);
  }

  /// The first block's input. out: [width]
  void write_token(const TextPlan::Token& token, float* out) const {
    const auto width = static_cast<std::size_t>(text_.width());
    if constexpr (kBlockFloat) {
      token_embedding_.read(token.id, {out, width});
    } else {
      const Value* embedding = token_embedding_.data() + static_cast<std::size_t>(token.id) * width;
      if constexpr (std::is_same_v<Value, float>) {
        std::copy_n(embedding, width, out);
      } else {
        kernels_.from_bf16(embedding, width, out);
      }
    }
    const std::span<const float> position =
        text_positions_.row(static_cast<std::size_t>(token.position));
    for (std::size_t c = 0; c < width; ++c) out[c] += position[c];
  }

  /// The pixel values of one patch: channel, row, column.
  void write_patch(const Image& image, int patch, Value* out) const {
    const auto size = static_cast<std::size_t>(config_.vision.image_size);
    const auto side = static_cast<std::size_t>(config_.vision.patch_size);
    const std::size_t top = static_cast<std::size_t>(patch / grid()) * side;
    const std::size_t left = static_cast<std::size_t>(patch % grid()) * side;
    for (std::size_t y = 0; y < side; ++y) {
      const std::uint8_t* pixel = image.rgb.data() + ((top + y) * size + left) * 3;
      Value* red = out + y * side;
      Value* green = red + side * side;
      Value* blue = green + side * side;
      for (std::size_t x = 0; x < side; ++x, pixel += 3) {
        red[x] = pixel_values_[0][pixel[0]];
        green[x] = pixel_values_[1][pixel[1]];
        blue[x] = pixel_values_[2][pixel[2]];
      }
    }
  }

  const ClipConfig config_;
  const Kernels& kernels_;
  const std::int32_t start_id_;  // of the token that texts begin with
  PrefixCache prefixes_{kKnownTokens};
  ThreadTeam team_;
  Tower<Linear> text_;
  Tower<Linear> vision_;

  static constexpr bool kBlockFloat = std::is_same_v<Linear, BlockFloatLinear>;
  std::conditional_t<kBlockFloat, BlockFloatRows, AlignedBuffer<Value>>
      token_embedding_;    // [vocab_size, width]
  Matrix text_positions_;  // [context_length, width]

  PatchLinear<Linear> patch_embedding_;
  Matrix positions_;  // [tokens, width]; the class embedding is part of row 0
  NormWeights pre_norm_;
  std::array<std::array<Value, 256>, 3> pixel_values_{};
};

}  // namespace

std::unique_ptr<ClipTowers> make_cpu_towers(const ClipConfig& config,
                                            const ImageProcessor& processor,
                                            const ReadWeight& read_weight, std::int32_t start_id,
                                            Precision precision, KernelSet kernel_set,
                                            int threads) {
  if (start_id < 0 || start_id >= config.text.vocab_size) {
    throw internal_error("a start token that is not in the vocabulary");
  }
  const Reader reader(read_weight);
  const Kernels& set = kernels(kernel_set);
  switch (precision) {
    case Precision::kInt8:
      return std::make_unique<CpuTowers<QuantizedLinear>>(config, processor, reader, start_id, set,
                                                          threads);
    case Precision::kBFloat16:
      if (set.bf16_products) {
        return std::make_unique<CpuTowers<PackedLinear<BFloat16>>>(config, processor, reader,
                                                                   start_id, set, threads);
      }
      return std::make_unique<CpuTowers<BlockFloatLinear>>(config, processor, reader, start_id, set,
                                                           threads);
    case Precision::kFloat32:
      return std::make_unique<CpuTowers<PackedLinear<float>>>(config, processor, reader, start_id,
                                                              set, threads);
    case Precision::kAuto:
      break;
  }
  throw internal_error("towers of no precision");
}

}  // namespace vitrine::encoder::cpu
