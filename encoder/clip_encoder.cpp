#include "encoder/clip_encoder.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/compute_threads.h"
#include "base/error.h"
#include "base/sha256.h"
#include "encoder/cpu/cpu_towers.h"
#include "encoder/cuda_towers.h"

namespace vitrine::encoder {
namespace {

/// Where the towers run, and in which precision.
struct Place {
  bool on_cuda = false;
  cpu::KernelSet kernels = cpu::KernelSet::kPortable;
  Precision precision = Precision::kFloat32;
};

Place choose_place(const EncoderOptions& options) {
  Place place;
  place.on_cuda = options.device == Device::kCuda ||
                  (options.device == Device::kAuto && options.precision == Precision::kAuto &&
                   cuda_available());
  place.kernels = cpu::find_kernel_set(options.kernels);
  const bool has_bfloat16 = cpu::supported_kernel_sets().back() >= cpu::KernelSet::kAvx512Bf16 &&
                            place.kernels >= cpu::KernelSet::kAvx512Vnni;
  place.precision = options.precision != Precision::kAuto ? options.precision
                    : has_bfloat16                        ? Precision::kBFloat16
                                                          : Precision::kFloat32;
  return place;
}

double image_flops(const ClipConfig& config) {
  const VisionConfig& vision = config.vision;
  const TowerConfig& tower = vision.tower;
  const auto width = static_cast<double>(tower.width);
  const auto patches = static_cast<double>(vision.patches());
  const auto tokens = static_cast<double>(vision.tokens());
  const auto patch_values =
      static_cast<double>(vision.channels * vision.patch_size * vision.patch_size);
  const double linear = 4 * width * width + 2 * width * static_cast<double>(tower.mlp_width);
  const double attention = 2 * tokens * width;
  // The projection; or what reads keys and values of all tokens and is one block of one row then.
  const double head = vision.pooling == ImagePooling::kClassToken
                          ? width * static_cast<double>(config.projection_dim)
                          : (tokens - 1) * 2 * width * width + linear + attention;
  return 2 * (patches * patch_values * width +
              static_cast<double>(tower.layers) * tokens * (linear + attention) + head);
}

/// Throws InvalidArgument where an image is not as the processor prepares it.
class CheckedFeed : public ImageFeed {
 public:
  CheckedFeed(const ImageProcessor& processor, ImageFeed& feed)
      : processor_(processor), feed_(feed) {}

  Piece take(std::size_t most) override {
    Piece piece = feed_.take(most);
    for (const Image& image : piece.images) processor_.check_prepared(image);
    return piece;
  }
  void give(const Piece& piece, const Matrix& embeddings) override {
    feed_.give(piece, embeddings);
  }

 private:
  const ImageProcessor& processor_;
  ImageFeed& feed_;
};

class ClipEncoder : public Encoder {
 public:
  ClipEncoder(const EncoderOptions& options, ClipCheckpoint checkpoint)
      : options_(options),
        threads_(options.threads > 0 ? options.threads : available_cores()),
        place_(choose_place(options)),
        architecture_(std::move(checkpoint.architecture)),
        format_(std::move(checkpoint.format)),
        config_(checkpoint.config),
        tokenizer_(std::move(checkpoint.tokenizer)),
        processor_(std::move(checkpoint.processor)),
        parameters_(checkpoint.weights.parameters()) {
    const CheckpointWeights& weights = checkpoint.weights;
    logit_scale_ = std::exp(read_number(weights, "logit_scale"));
    if (!std::isfinite(logit_scale_)) {
      throw corruption(options_.model + ": logit_scale is not a usable number");
    }
    if (config_.logit_bias) logit_bias_ = read_number(weights, "logit_bias");
    const auto read_weight = [&](const std::string& name, std::span<float> values) {
      read_float(weights, name, values);
    };
    try {
      towers_ = place_.on_cuda ? make_cuda_towers(config_, processor_, weights)
                               : cpu::make_cpu_towers(config_, processor_, read_weight,
                                                      place_.precision, place_.kernels, threads_);
    } catch (const std::bad_alloc&) {
      throw resource_exhausted("no memory for the weights of " + options_.model);
    } catch (const std::system_error& error) {
      throw resource_exhausted(fmt::format("no {} threads: {}", threads_, error.what()));
    }
    fingerprint_ = options.image.fingerprint(checkpoint.fingerprint.get());
    if (!place_.on_cuda && place_.precision == Precision::kInt8) {
      // Its embeddings differ from float32's by more than neighbours in a catalogue may.
      fingerprint_ = to_hex(sha256(fingerprint_ + "\nint8"));
    }
    malloc_trim(0);  // what packing the weights took, which may be as much as the weights
  }

  int dimension() const override { return static_cast<int>(config_.projection_dim); }
  float logit_scale() const override { return logit_scale_; }
  std::optional<float> logit_bias() const override { return logit_bias_; }
  const std::string& fingerprint() const override { return fingerprint_; }

  Image prepare(const Image& image) const override { return processor_.resize_and_crop(image); }

  Matrix encode_images(std::span<const Image> images) const override {
    std::vector<Image> prepared;
    prepared.reserve(images.size());
    for (const Image& image : images) prepared.push_back(prepare(image));
    return encode_prepared(prepared);
  }

  Matrix encode_prepared(std::span<const Image> prepared) const override {
    for (const Image& image : prepared) processor_.check_prepared(image);
    return in_batches(prepared, [this](auto batch) { return towers_->encode_images(batch); });
  }

  void encode_from(ImageFeed& feed) const override {
    CheckedFeed checked(processor_, feed);
    const auto most = static_cast<std::size_t>(options_.max_batch);
    alone(most, [&] { towers_->encode_images_from(checked, most); });
  }

  TokenizedText tokenize(std::string_view text) const override {
    TokenizedText result;
    result.ids =
        tokenizer_->encode(text, static_cast<int>(config_.text.context_length), &result.truncated);
    return result;
  }

  Matrix encode_tokenized(std::span<const TokenizedText> texts) const override {
    std::vector<std::vector<std::int32_t>> ids;
    ids.reserve(texts.size());
    for (const TokenizedText& text : texts) ids.push_back(text.ids);
    return in_batches(std::span<const std::vector<std::int32_t>>(ids),
                      [this](auto batch) { return towers_->encode_texts(batch); });
  }

  bool multiply_as_for_images(int images) const override {
    const std::lock_guard lock(towers_mutex_);
    return towers_->multiply_as_for_images(images);
  }

  EncoderInfo info() const override {
    EncoderInfo info;
    info.model = options_.model;
    info.architecture = architecture_;
    info.format = format_;
    info.dimension = dimension();
    info.image_size = static_cast<int>(config_.vision.image_size);
    info.context_length = static_cast<int>(config_.text.context_length);
    info.vocab_size = static_cast<int>(config_.text.vocab_size);
    info.parameters = parameters_;
    info.precision = place_.on_cuda ? "float16" : to_string(place_.precision);
    info.device = place_.on_cuda ? "cuda" : "cpu";
    if (!place_.on_cuda) info.kernels = to_string(place_.kernels);
    info.threads = threads_;
    info.image_tokens = static_cast<int>(config_.vision.tokens());
    info.text_tokens = config_.text.pooling == TextPooling::kLastPosition ? info.context_length : 0;
    info.image_flops = image_flops(config_);
    return info;
  }

 private:
  /// Throws Corruption that names the model when a value is not finite.
  void read_float(const CheckpointWeights& weights, const std::string& name,
                  std::span<float> values) const {
    try {
      weights.read_float(name, values);
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("{}: {}", options_.model, error.what()));
    }
  }
  float read_number(const CheckpointWeights& weights, const std::string& name) const {
    float value = 0;
    read_float(weights, name, {&value, 1});
    return value;
  }

  /// encode() with the towers to itself.
  template <typename Encode>
  std::invoke_result_t<const Encode&> alone(std::size_t inputs, const Encode& encode) const {
    try {
      const std::lock_guard lock(towers_mutex_);
      return encode();
    } catch (const std::bad_alloc&) {
      throw resource_exhausted(fmt::format("no memory to encode a batch of {}", inputs));
    }
  }

  /// encode(batch) gives the embeddings of up to max_batch inputs; other callers' batches may run
  /// in between.
  template <typename Input, typename Encode>
  Matrix in_batches(std::span<const Input> inputs, const Encode& encode) const {
    Matrix result(inputs.size(), static_cast<std::size_t>(config_.projection_dim));
    const auto max_batch = static_cast<std::size_t>(options_.max_batch);
    for (std::size_t begin = 0; begin < inputs.size(); begin += max_batch) {
      const auto batch = inputs.subspan(begin, std::min(max_batch, inputs.size() - begin));
      const Matrix embeddings = alone(batch.size(), [&] { return encode(batch); });
      std::copy_n(embeddings.data(), embeddings.rows() * embeddings.cols(),
                  result.row(begin).data());
    }
    return result;
  }

  // Constant after construction.
  EncoderOptions options_;
  int threads_;
  Place place_;
  std::string architecture_;
  std::string format_;
  ClipConfig config_;
  std::unique_ptr<const Tokenizer> tokenizer_;
  ImageProcessor processor_;
  std::int64_t parameters_ = 0;
  float logit_scale_ = 0;
  std::optional<float> logit_bias_;
  std::string fingerprint_;

  mutable std::mutex towers_mutex_;
  std::unique_ptr<ClipTowers> towers_;  // guarded by towers_mutex_
};

}  // namespace

std::unique_ptr<Encoder> make_clip_encoder(const EncoderOptions& options,
                                           ClipCheckpoint checkpoint) {
  return std::make_unique<ClipEncoder>(options, std::move(checkpoint));
}

}  // namespace vitrine::encoder
