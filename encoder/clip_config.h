#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace vitrine::encoder {

/// The activation between the two linear layers of a transformer block.
enum class Activation {
  kQuickGelu,  ///< x * sigmoid(1.702 x)
  kGelu,       ///< x * Phi(x), by erf
};

/// One transformer of a CLIP model. Sizes are counts, all positive; heads divides width.
struct TowerConfig {
  std::int64_t width = 0;      ///< hidden_size
  std::int64_t mlp_width = 0;  ///< intermediate_size
  std::int64_t layers = 0;     ///< num_hidden_layers
  std::int64_t heads = 0;      ///< num_attention_heads
  double layer_norm_eps = 1e-5;
  Activation activation = Activation::kQuickGelu;
};

/// The eos_token_id of old checkpoints, whose real end token is the largest id of a text.
inline constexpr std::int64_t kEosIsLargestId = 2;

/// The text tower. Defaults are those Hugging Face takes for a field that config.json leaves out.
struct TextConfig {
  TowerConfig tower{512, 2048, 12, 8};
  std::int64_t vocab_size = 49408;
  std::int64_t context_length = 77;  ///< max_position_embeddings, in tokens
  /// The position whose hidden state is the text's: the first of this id, or of the largest id
  /// when this is kEosIsLargestId.
  std::int64_t eos_token_id = 49407;
};

/// The vision tower, with the defaults of Hugging Face.
struct VisionConfig {
  TowerConfig tower{768, 3072, 12, 12};
  std::int64_t channels = 3;
  std::int64_t image_size = 224;  ///< pixels, square
  std::int64_t patch_size = 32;   ///< pixels, square
};

struct ClipConfig {
  TextConfig text;
  VisionConfig vision;
  std::int64_t projection_dim = 512;  ///< width of an embedding
};

/// Reads a checkpoint's config.json as Hugging Face writes it. Throws NotFound when it is missing,
/// Corruption when it is not a JSON object, and InvalidArgument naming the file and the field when
/// it is not a CLIP config or has a value out of range.
ClipConfig parse_clip_config(const std::filesystem::path& path);

}  // namespace vitrine::encoder
