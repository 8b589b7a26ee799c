#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace vitrine::encoder {

/// The activation between the two linear layers of a transformer block.
enum class Activation {
  kQuickGelu,  ///< x * sigmoid(1.702 x)
  kGelu,       ///< x * Phi(x), by erf
  kGeluTanh,   ///< x * Phi(x), by tanh: x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))
};

/// What an image embedding is made of, and what goes with it.
enum class ImagePooling {
  /// CLIP: the row of a class token that stands before the patches. LayerNorm before the blocks; a
  /// projection without bias.
  kClassToken,
  /// SigLIP: attention of one learned query (the probe) to the rows of all patches, and an MLP. The
  /// patches have a bias; no projection, so that an embedding is as wide as the tower.
  kAttention,
};

/// What a text embedding is made of, and what goes with it.
enum class TextPooling {
  /// CLIP: the row of the end token. Attention is causal, so that what follows has no influence; a
  /// projection without bias.
  kEndToken,
  /// SigLIP: the row of the last position. Every text is padded to the context length, attention
  /// sees all of it, padding included; a projection with bias.
  kLastPosition,
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
  TextPooling pooling = TextPooling::kEndToken;
  /// Of TextPooling::kEndToken: the token that texts begin with. Of the tokenizer, whatever
  /// config.json says.
  std::int64_t start_token_id = 49406;
  /// Of TextPooling::kLastPosition: the token that texts are padded with. Of the tokenizer.
  std::int64_t pad_token_id = 1;
};

/// The vision tower, with the defaults of Hugging Face.
struct VisionConfig {
  TowerConfig tower{768, 3072, 12, 12};
  std::int64_t channels = 3;
  std::int64_t image_size = 224;  ///< pixels, square
  std::int64_t patch_size = 32;   ///< pixels, square
  ImagePooling pooling = ImagePooling::kClassToken;

  std::int64_t patches() const { return (image_size / patch_size) * (image_size / patch_size); }
  /// Rows that an image has in every block.
  std::int64_t tokens() const { return patches() + (pooling == ImagePooling::kClassToken ? 1 : 0); }
};

/// Of CLIP and of the models that are like it: two towers into one space.
struct ClipConfig {
  TextConfig text;
  VisionConfig vision;
  std::int64_t projection_dim = 512;  ///< width of an embedding
  /// SigLIP: a text says something of an image or not, whatever other texts say. Logits have a bias
  /// besides their scale, and are made probabilities one by one.
  bool logit_bias = false;
};

/// Read a checkpoint's config.json as Hugging Face writes it for CLIP and for SigLIP; the
/// tokenizer's ids in it keep their defaults. Throw NotFound when it is missing, Corruption when it
/// is not a JSON object, and InvalidArgument naming the file and the field when it is of another
/// model or has a value out of range.
ClipConfig parse_clip_config(const std::filesystem::path& path);
ClipConfig parse_siglip_config(const std::filesystem::path& path);

}  // namespace vitrine::encoder
