#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/matrix.h"
#include "encoder/image.h"
#include "encoder/image_feed.h"
#include "encoder/image_options.h"
#include "encoder/precision.h"

namespace vitrine::encoder {

struct EncoderOptions {
  /// Checkpoint folder, in one of the formats that docs/encoder.md lists, such as Hugging Face's:
  /// config.json, model.safetensors, vocab.json, merges.txt, preprocessor_config.json.
  std::string model;
  /// Cores one forward pass uses. 0: all that this process may use (available_cores()). Valid: [0,
  /// 1024].
  int threads = 0;
  /// Images or texts of one forward pass; more are split. Memory grows with it. Valid: [1, 1024].
  int max_batch = 32;
  /// Of the arithmetic on a CPU; on a CUDA device it is half precision.
  Precision precision = Precision::kAuto;
  /// Instruction set on a CPU: "auto" for the best it has, or one of those that info() names, which
  /// the CPU must have.
  std::string kernels = "auto";
  Device device = Device::kAuto;
  /// How whoever decodes images for this encoder does it; part of the fingerprint.
  ImageOptions image = {};

  /// Throws InvalidArgument that names the field.
  void validate() const;
};

/// What `vitrine info` prints.
struct EncoderInfo {
  std::string model;         ///< checkpoint folder
  std::string architecture;  ///< "clip" or "siglip"
  std::string format;        ///< of the checkpoint, such as "transformers"
  int dimension = 0;
  int image_size = 0;      ///< pixels, both sides
  int context_length = 0;  ///< tokens of a text, start and end token included
  int vocab_size = 0;
  std::int64_t parameters = 0;
  std::string precision;  ///< of the arithmetic, such as "float32"
  std::string device;     ///< "cpu" or "cuda"
  std::string kernels;    ///< on a CPU: the instruction set, such as "avx512"
  int threads = 0;        ///< of one forward pass
  int image_tokens = 0;   ///< rows of an image in every layer; 0: not known
  int text_tokens = 0;    ///< the same of any text, where all are padded; 0: each has its own
  /// Multiplications and additions of one image, every token through every layer.
  double image_flops = 0;
};

/// A text as a forward pass reads it.
struct TokenizedText {
  std::vector<std::int32_t> ids;  ///< start and end token included, padding not
  bool truncated = false;         ///< the text had more tokens; they are cut
};

/// Turns images and texts into embeddings of one space. Thread-safe: calls may overlap, the forward
/// passes run one after the other.
class Encoder {
 public:
  virtual ~Encoder() = default;

  /// Columns of every embedding.
  virtual int dimension() const = 0;
  /// [n, dimension()], row i of image i; not normalised. Throws InvalidArgument for an empty image.
  virtual Matrix encode_images(std::span<const Image> images) const = 0;
  /// encode_images() in two steps: encode_prepared({prepare(a), ...}) equals encode_images({a,
  /// ...}). prepare() resizes and crops on the calling thread, whatever the forward passes do
  /// meanwhile, and its result is small, whatever the size of the image.
  virtual Image prepare(const Image& image) const { return image; }
  virtual Matrix encode_prepared(std::span<const Image> prepared) const {
    return encode_images(prepared);
  }
  /// encode_prepared() of what the feed gives, until it gives nothing. Other callers wait as long.
  /// Throws what the feed throws and what encode_prepared() does; then what was taken from the feed
  /// may not have been given back.
  virtual void encode_from(ImageFeed& feed) const {
    encode_pieces(feed, 4, [this](auto& prepared) { return encode_prepared(prepared); });
  }
  /// encode_texts() in two steps, as for images: tokenize() runs on the calling thread, whatever
  /// the forward passes do meanwhile. text: UTF-8. Throws InvalidArgument for malformed UTF-8.
  virtual TokenizedText tokenize(std::string_view text) const = 0;
  /// [n, dimension()], row i of text i; not normalised. texts: as tokenize() gives them.
  virtual Matrix encode_tokenized(std::span<const TokenizedText> texts) const = 0;
  /// Both steps. What exceeds the context length is cut.
  Matrix encode_texts(std::span<const std::string> texts) const;
  /// exp of the checkpoint's parameter: logits are logit_scale() * cosine, and logit_bias() more.
  virtual float logit_scale() const = 0;
  /// Of a model that was trained to tell of every text by itself whether it fits an image, by the
  /// sigmoid of its logit; nothing where the texts at hand are compared, by a softmax.
  virtual std::optional<float> logit_bias() const { return std::nullopt; }
  /// 64 hexadecimal digits: SHA-256 over weights, config, tokenizer and image processor files,
  /// over the image options when they are not the default, and over the precision when it is int8.
  /// Embeddings of encoders with different fingerprints must not be compared.
  virtual const std::string& fingerprint() const = 0;
  virtual EncoderInfo info() const = 0;
  /// For measuring how much of encode_prepared() the arithmetic itself takes: the matrix products
  /// of so many images, on the same weights and threads, and nothing else; every token goes through
  /// every layer. False, and nothing is done, where that cannot be told apart.
  virtual bool multiply_as_for_images(int /*images*/) const { return false; }
};

/// Loads a checkpoint folder; its files decide which format and architecture it is. When the folder
/// has golden vectors (golden_vectors.h), they are encoded and compared. Throws NotFound (a file is
/// missing), Corruption (a file is damaged, or the weights do not match the config, in which case
/// the message lists every difference, or the embeddings are not the golden ones), InvalidArgument
/// (not supported).
std::unique_ptr<Encoder> load_encoder(const EncoderOptions& options);

}  // namespace vitrine::encoder
