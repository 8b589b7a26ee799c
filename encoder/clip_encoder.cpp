#include "encoder/clip_encoder.h"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <omp.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "base/compute_threads.h"
#include "base/error.h"
#include "encoder/clip_model.h"

namespace vitrine::encoder {
namespace {

/// Runs a LibTorch call; what LibTorch throws does not leave this folder.
template <typename Call>
auto guarded(const char* what, Call call) {
  try {
    return call();
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw resource_exhausted(fmt::format("no memory to {}", what));
  } catch (const std::exception& error) {
    throw internal_error(fmt::format("LibTorch failed to {}: {}", what, error.what()));
  }
}

/// Gives the calling thread the encoder's cores, and its own number back afterwards: the thread may
/// belong to a pool whose other work must stay on one core.
class ThreadsScope {
 public:
  explicit ThreadsScope(int threads) : previous_(omp_get_max_threads()) {
    at::get_num_threads();  // LibTorch sets the count of each thread once, lazily: now, not later
    set_compute_threads_of_this_thread(threads);
  }
  ~ThreadsScope() { set_compute_threads_of_this_thread(previous_); }
  ThreadsScope(const ThreadsScope&) = delete;
  ThreadsScope& operator=(const ThreadsScope&) = delete;

 private:
  int previous_;
};

WeightMap read_weights(const CheckpointWeights& weights) {
  WeightMap tensors;
  for (const auto& [name, shape] : weights.shapes()) {
    at::Tensor tensor = torch::empty(shape, torch::kFloat32);
    weights.read_float(name, {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())});
    tensors.emplace(name, std::move(tensor));
  }
  return tensors;
}

class ClipEncoder : public Encoder {
 public:
  ClipEncoder(const EncoderOptions& options, ClipCheckpoint checkpoint)
      : options_(options),
        threads_(options.threads > 0 ? options.threads : available_cores()),
        format_(std::move(checkpoint.format)),
        config_(checkpoint.config),
        tokenizer_(std::move(checkpoint.tokenizer)),
        processor_(std::move(checkpoint.processor)),
        parameters_(checkpoint.weights.parameters()) {
    guarded("load the weights", [&] {
      const c10::InferenceMode inference;
      at::set_num_threads(threads_);
      model_ = std::make_unique<ClipModel>(config_, read_weights(checkpoint.weights));
      logit_scale_ = std::exp(model_->logit_scale().item<float>());
    });
    if (!std::isfinite(logit_scale_)) {
      throw corruption(options_.model + ": logit_scale is not a usable number");
    }
    fingerprint_ = options.image.fingerprint(checkpoint.fingerprint.get());
  }

  int dimension() const override { return static_cast<int>(config_.projection_dim); }
  float logit_scale() const override { return logit_scale_; }
  const std::string& fingerprint() const override { return fingerprint_; }

  Image prepare(const Image& image) const override { return processor_.resize_and_crop(image); }

  Matrix encode_images(std::span<const Image> images) const override {
    std::vector<Image> prepared;
    prepared.reserve(images.size());
    for (const Image& image : images) prepared.push_back(prepare(image));
    return encode_prepared(prepared);
  }

  Matrix encode_prepared(std::span<const Image> prepared) const override {
    const std::int64_t height = processor_.crop_height();
    const std::int64_t width = processor_.crop_width();
    return in_batches(prepared.size(), [&](std::size_t begin, std::size_t count) {
      at::Tensor pixels =
          torch::empty({static_cast<std::int64_t>(count), 3, height, width}, torch::kFloat32);
      for (std::size_t i = 0; i < count; ++i) {
        processor_.normalize(
            prepared[begin + i],
            pixels.data_ptr<float>() + static_cast<std::int64_t>(i) * 3 * height * width);
      }
      return [this, pixels] { return model_->encode_images(pixels); };
    });
  }

  Matrix encode_texts(std::span<const std::string> texts) const override {
    const std::vector<std::vector<std::int32_t>> tokens = tokenize(texts);
    return in_batches(texts.size(), [&](std::size_t begin, std::size_t count) {
      std::size_t length = 0;
      for (std::size_t i = 0; i < count; ++i) length = std::max(length, tokens[begin + i].size());
      // Attention is causal: what follows the end token has no influence.
      at::Tensor ids =
          torch::full({static_cast<std::int64_t>(count), static_cast<std::int64_t>(length)},
                      static_cast<std::int64_t>(tokenizer_.end_id()), torch::kInt64);
      for (std::size_t i = 0; i < count; ++i) {
        std::copy(tokens[begin + i].begin(), tokens[begin + i].end(),
                  ids.data_ptr<std::int64_t>() + static_cast<std::int64_t>(i * length));
      }
      return [this, ids] { return model_->encode_texts(ids); };
    });
  }

  std::size_t count_tokens(std::span<const std::string> texts) const override {
    std::size_t count = 0;
    for (const std::vector<std::int32_t>& ids : tokenize(texts)) count += ids.size();
    return count;
  }

  EncoderInfo info() const override {
    EncoderInfo info;
    info.model = options_.model;
    info.architecture = "clip";
    info.format = format_;
    info.dimension = dimension();
    info.image_size = static_cast<int>(config_.vision.image_size);
    info.context_length = static_cast<int>(config_.text.context_length);
    info.vocab_size = static_cast<int>(config_.text.vocab_size);
    info.parameters = parameters_;
    info.precision = "float32";
    return info;
  }

 private:
  std::vector<std::vector<std::int32_t>> tokenize(std::span<const std::string> texts) const {
    std::vector<std::vector<std::int32_t>> tokens;
    tokens.reserve(texts.size());
    for (const std::string& text : texts) {
      tokens.push_back(tokenizer_.encode(text, static_cast<int>(config_.text.context_length)));
    }
    return tokens;
  }

  /// make_forward(begin, count) prepares a batch and returns its forward pass, which runs alone.
  template <typename MakeForward>
  Matrix in_batches(std::size_t rows, MakeForward make_forward) const {
    const auto columns = static_cast<std::size_t>(config_.projection_dim);
    Matrix result(rows, columns);
    const ThreadsScope threads(threads_);
    guarded("encode", [&] {
      const c10::InferenceMode inference;
      for (std::size_t begin = 0; begin < rows;) {
        const std::size_t count =
            std::min(rows - begin, static_cast<std::size_t>(options_.max_batch));
        const auto forward = make_forward(begin, count);
        at::Tensor embeddings;
        {
          const std::lock_guard lock(forward_mutex_);
          embeddings = forward().contiguous();
        }
        std::memcpy(result.row(begin).data(), embeddings.template data_ptr<float>(),
                    count * columns * sizeof(float));
        begin += count;
      }
    });
    return result;
  }

  // Constant after construction.
  EncoderOptions options_;
  int threads_;
  std::string format_;
  ClipConfig config_;
  Tokenizer tokenizer_;
  ImageProcessor processor_;
  std::unique_ptr<ClipModel> model_;
  std::int64_t parameters_ = 0;
  float logit_scale_ = 0;
  std::string fingerprint_;

  mutable std::mutex forward_mutex_;  // one forward pass at a time uses all of threads_
};

}  // namespace

std::unique_ptr<Encoder> make_clip_encoder(const EncoderOptions& options,
                                           ClipCheckpoint checkpoint) {
  return std::make_unique<ClipEncoder>(options, std::move(checkpoint));
}

}  // namespace vitrine::encoder
