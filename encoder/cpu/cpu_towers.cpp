#include "encoder/cpu/cpu_towers.h"

#include <algorithm>
#include <array>
#include <optional>
#include <type_traits>

#include "base/error.h"
#include "base/thread_team.h"
#include "encoder/cpu/block_loader.h"
#include "encoder/cpu/prefix_cache.h"
#include "encoder/cpu/tower.h"

namespace vitrine::encoder::cpu {
namespace {

/// Where the text's embedding is taken from, by Hugging Face's two rules (see TextConfig).
int pooled_position(const std::vector<std::int32_t>& ids, const TextConfig& config) {
  if (config.eos_token_id == kEosIsLargestId) {
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

/// What texts begin with that is remembered: of ViT-B/32 24 MB, half of it in bfloat16.
constexpr int kKnownTokens = 511;

template <typename Linear>
class CpuTowers : public ClipTowers {
 public:
  using Value = typename Linear::Value;

  CpuTowers(const ClipConfig& config, const ImageProcessor& processor, const WeightReader& reader,
            const Kernels& kernels, int threads)
      : config_(config),
        kernels_(kernels),
        team_(threads),
        text_(load_text_tower(reader)),
        vision_(load_vision_tower(reader)) {
    load_text_tables(reader);
    load_vision_tables(reader);
    if (causal()) {
      std::vector<float> start(static_cast<std::size_t>(text_.width()));
      write_token(start_id(), 0, start.data());
      text_.learn_start(start);
    }
    for (std::size_t channel = 0; channel < 3; ++channel) {
      for (std::size_t byte = 0; byte < 256; ++byte) {
        pixel_values_[channel][byte] =
            to_value<Value>(kernels, processor.pixel_values()[channel][byte]);
      }
    }
  }

  bool multiply_as_for_images(int images) override {
    vision_.multiply_only(team_, plan_images(static_cast<std::size_t>(images), vision_.crew(team_)),
                          patch_embedding_, patches());
    return true;
  }

  Matrix encode_images(std::span<const Image> images) override {
    return vision_.run(team_, plan_images(images.size(), vision_.crew(team_)),
                       embedding_of(images));
  }

  void encode_images_from(ImageFeed& feed, std::size_t most) override {
    const int tokens = image_tokens();
    const std::size_t images = std::min(most, images_of_piece(tokens));
    vision_.run_alone(team_, static_cast<int>(images) * tokens, [&](const auto& run) {
      encode_pieces(feed, images, [&](std::span<const Image> piece) {
        return run(plan_images(piece.size(), {}), embedding_of(piece));
      });
    });
  }

  Matrix encode_texts(std::span<const std::vector<std::int32_t>> texts) override {
    if (!causal()) return encode_padded(texts);
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
    const TextPlan plan = plan_texts(texts, start_id(), text_.crew(team_), prefixes_);
    const bool remembers = std::ranges::any_of(
        plan.chunks, [](const Chunk& chunk) { return !chunk.new_known.empty(); });
    if (remembers) text_.reserve_known(prefixes_.rows());
    const Matrix distinct =
        text_.run(team_, plan, [&](const Share& share, const Chunk& chunk, auto&, float* hidden) {
          const auto [begin, end] = share.of(chunk.rows);
          for (int row = begin; row < end; ++row) {
            const TextPlan::Token& token =
                plan.tokens[static_cast<std::size_t>(chunk.first_row + row)];
            write_token(token.id, token.position,
                        hidden + static_cast<std::size_t>(row) * text_.hidden_stride());
          }
        });
    Matrix embeddings(texts.size(), distinct.cols());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      std::ranges::copy(distinct.row(plan.sequence[i]), embeddings.row(i).begin());
    }
    return embeddings;
  }

  Matrix encode_padded(std::span<const std::vector<std::int32_t>> texts) {
    const auto length = static_cast<int>(config_.text.context_length);
    const auto pad = static_cast<std::int32_t>(config_.text.pad_token_id);
    return text_.run(
        team_, plan_alike(texts.size(), length, length - 1, text_.crew(team_)),
        [&](const Share& share, const Chunk& chunk, auto&, float* hidden) {
          const auto [begin, end] = share.of(chunk.rows);
          for (int row = begin; row < end; ++row) {
            const auto& ids = texts[static_cast<std::size_t>((chunk.first_row + row) / length)];
            const int position = row % length;
            write_token(position < std::ssize(ids) ? ids[static_cast<std::size_t>(position)] : pad,
                        position, hidden + static_cast<std::size_t>(row) * text_.hidden_stride());
          }
        });
  }

  /// Writes the first block's input: see Tower::run(). images: of the batch.
  auto embedding_of(std::span<const Image> images) const {
    return [this, images, tokens = image_tokens(), per_image = patches()](
               const Share& share, const Chunk& chunk, auto& patches, float* hidden) {
      const int count = static_cast<int>(chunk.sequences.size());
      const int rows = count * per_image;
      const int first = tokens - per_image;  // of an image's rows, what stands before its patches
      Value* values = patches.row_of(share.rank, patch_embedding_.inputs());
      share.take_rows(rows, [&](int row) {
        write_patch(images[chunk.first_sequence + static_cast<std::size_t>(row / per_image)],
                    row % per_image, values);
        patch_embedding_.write_row(kernels_, values, row, patches.rows);
      });
      share.barrier();
      const auto hidden_row = [&](int row) {
        return hidden + static_cast<std::size_t>(row) * vision_.hidden_stride();
      };
      multiply_shared(
          kernels_, share, patch_embedding_, patches.rows, rows, 0, patch_embedding_.panels(),
          nullptr,
          [&](int row, int block, int column, int columns, const float* sums, const float*) {
            for (int i = 0; i < block; ++i) {
              const int token = first + (row + i) % per_image;
              kernels_.add_bias(sums + i * kPanelColumns,
                                positions_.row(static_cast<std::size_t>(token)).data() + column, 1,
                                columns,
                                hidden_row((row + i) / per_image * tokens + token) + column, 0);
            }
          });
      if (!pre_norm_) return;
      share.barrier();
      share.take_rows(count * tokens, [&](int row) {
        const float* input = row % tokens == 0 ? positions_.row(0).data() : hidden_row(row);
        kernels_.layer_norm(input, pre_norm_->scale.data(), pre_norm_->shift.data(),
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

  int patches() const { return static_cast<int>(config_.vision.patches()); }
  int image_tokens() const { return static_cast<int>(config_.vision.tokens()); }
  BatchPlan plan_images(std::size_t images, const Crew& crew) const {
    return plan_alike(images, image_tokens(), 0, crew);
  }

  bool causal() const { return config_.text.pooling == TextPooling::kEndToken; }
  std::int32_t start_id() const { return static_cast<std::int32_t>(config_.text.start_token_id); }

  /// bias: of the projection, or empty for none.
  Projection load_projection(const WeightReader& reader, const std::string& norm,
                             const std::string& weights, const std::vector<float>& bias,
                             std::int64_t width) {
    return {reader.norm(norm, width),
            {kernels_, reader.matrix(weights, config_.projection_dim, width), bias, &pages_}};
  }

  Tower<Linear> load_text_tower(const WeightReader& reader) {
    const TowerConfig& tower = config_.text.tower;
    const std::string projection = causal() ? "text_projection" : "text_model.head";
    const std::vector<float> bias =
        causal() ? std::vector<float>{}
                 : reader.vector(projection + ".bias", config_.projection_dim);
    return {kernels_, tower,
            Transformer<Linear>(
                kernels_, tower, causal(),
                BlockLoader<Linear>::load(kernels_, reader, "text_model", tower, team_, pages_),
                LastBlock::kAddsToRow),
            load_projection(reader, "text_model.final_layer_norm", projection + ".weight", bias,
                            tower.width),
            0};
  }

  Tower<Linear> load_vision_tower(const WeightReader& reader) {
    const TowerConfig& tower = config_.vision.tower;
    auto blocks = BlockLoader<Linear>::load(kernels_, reader, "vision_model", tower, team_, pages_);
    if (config_.vision.pooling == ImagePooling::kAttention) {
      blocks.push_back(BlockLoader<Linear>::load_pooling(kernels_, reader, tower, pages_));
      return {
          kernels_, tower,
          Transformer<Linear>(kernels_, tower, false, std::move(blocks), LastBlock::kBeginsAnew),
          std::nullopt, patch_inputs(config_.vision)};
    }
    return {kernels_, tower,
            Transformer<Linear>(kernels_, tower, false, std::move(blocks), LastBlock::kAddsToRow),
            load_projection(reader, "vision_model.post_layernorm", "visual_projection.weight", {},
                            tower.width),
            patch_inputs(config_.vision)};
  }

  void load_text_tables(const WeightReader& reader) {
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

  void load_vision_tables(const WeightReader& reader) {
    const VisionConfig& vision = config_.vision;
    const std::string embeddings = "vision_model.embeddings.";
    patch_embedding_ = {kernels_,
                        reader.matrix(embeddings + "patch_embedding.weight", vision.tower.width,
                                      patch_inputs(vision)),
                        {},
                        &pages_};
    positions_ = reader.matrix(embeddings + "position_embedding.weight", vision.tokens(),
                               vision.tower.width);
    const auto add = [&](const std::vector<float>& values, std::size_t row) {
      std::ranges::transform(values, positions_.row(row), positions_.row(row).begin(),
                             std::plus<>());
    };
    if (vision.pooling == ImagePooling::kClassToken) {
      add(reader.vector(embeddings + "class_embedding", vision.tower.width), 0);
      pre_norm_ = reader.norm("vision_model.pre_layrnorm", vision.tower.width);
    } else {
      const std::vector<float> bias =
          reader.vector(embeddings + "patch_embedding.bias", vision.tower.width);
      for (std::size_t row = 0; row < positions_.rows(); ++row) add(bias, row);
    }
  }

  /// The first block's input. out: [width]
  void write_token(std::int32_t id, int at, float* out) const {
    const auto width = static_cast<std::size_t>(text_.width());
    if constexpr (kBlockFloat) {
      token_embedding_.read(id, {out, width});
    } else {
      const Value* embedding = token_embedding_.data() + static_cast<std::size_t>(id) * width;
      if constexpr (std::is_same_v<Value, float>) {
        std::copy_n(embedding, width, out);
      } else {
        kernels_.from_bf16(embedding, width, out);
      }
    }
    const std::span<const float> position = text_positions_.row(static_cast<std::size_t>(at));
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
  PrefixCache prefixes_{kKnownTokens};
  ThreadTeam team_;
  HugePages pages_;  // for the weights of all layers
  Tower<Linear> text_;
  Tower<Linear> vision_;

  static constexpr bool kBlockFloat = std::is_same_v<PatchLinear<Linear>, BlockFloatLinear>;
  std::conditional_t<kBlockFloat, BlockFloatRows, AlignedBuffer<Value>>
      token_embedding_;    // [vocab_size, width]
  Matrix text_positions_;  // [context_length, width]

  PatchLinear<Linear> patch_embedding_;
  Matrix positions_;  // [tokens, width]; with the class embedding, or the bias of patches
  std::optional<NormWeights> pre_norm_;
  std::array<std::array<Value, 256>, 3> pixel_values_{};
};

}  // namespace

std::unique_ptr<ClipTowers> make_cpu_towers(const ClipConfig& config,
                                            const ImageProcessor& processor,
                                            const ReadWeight& read_weight, Precision precision,
                                            KernelSet kernel_set, int threads) {
  const bool causal = config.text.pooling == TextPooling::kEndToken;
  const std::int64_t special = causal ? config.text.start_token_id : config.text.pad_token_id;
  if (special < 0 || special >= config.text.vocab_size) {
    throw internal_error("a start or pad token that is not in the vocabulary");
  }
  const WeightReader reader(read_weight);
  const Kernels& set = kernels(kernel_set);
  switch (precision) {
    case Precision::kInt8:
      if (set.bf16_products) {
        return std::make_unique<CpuTowers<QuantizedLinear<BFloat16>>>(config, processor, reader,
                                                                      set, threads);
      }
      return std::make_unique<CpuTowers<QuantizedLinear<float>>>(config, processor, reader, set,
                                                                 threads);
    case Precision::kBFloat16:
      if (set.bf16_products) {
        return std::make_unique<CpuTowers<PackedLinear<BFloat16>>>(config, processor, reader, set,
                                                                   threads);
      }
      return std::make_unique<CpuTowers<BlockFloatLinear>>(config, processor, reader, set, threads);
    case Precision::kFloat32:
      return std::make_unique<CpuTowers<PackedLinear<float>>>(config, processor, reader, set,
                                                              threads);
    case Precision::kAuto:
      break;
  }
  throw internal_error("towers of no precision");
}

}  // namespace vitrine::encoder::cpu
