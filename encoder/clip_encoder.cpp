#include "encoder/clip_encoder.h"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <omp.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <new>
#include <vector>

#include "base/compute_threads.h"
#include "base/error.h"
#include "base/sha256.h"
#include "encoder/clip_config.h"
#include "encoder/clip_model.h"
#include "encoder/image_processor.h"
#include "encoder/safetensors.h"
#include "encoder/tokenizer.h"

namespace vitrine::encoder {
namespace {

constexpr const char* kWeightsFile = "model.safetensors";

/// What the embeddings depend on; a file that may be missing counts as missing.
constexpr const char* kFingerprintFiles[] = {
    kWeightsFile,
    "config.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
};

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

std::string compute_fingerprint(const std::filesystem::path& folder) {
  Sha256 hash;
  for (const char* name : kFingerprintFiles) {
    const std::filesystem::path path = folder / name;
    const bool exists = std::filesystem::exists(path);
    hash.update(fmt::format("{} {}\n", name, exists ? to_hex(sha256_file(path)) : "missing"));
  }
  return to_hex(hash.finish());
}

bool is_ignored(const std::string& name) { return name.ends_with("position_ids"); }

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

/// Every way in which the file is not what the config asks for, one line each; then throws.
void check_weights(const SafetensorsFile& file, const WeightShapes& expected) {
  constexpr std::size_t max_listed = 40;
  std::vector<std::string> differences;
  for (const auto& [name, shape] : expected) {
    if (!file.contains(name)) {
      differences.push_back(fmt::format("missing: {} [{}]", name, fmt::join(shape, ", ")));
      continue;
    }
    const TensorInfo& tensor = file.tensor(name);
    // logit_scale is a scalar in some checkpoints and has one element in others.
    const bool same_shape =
        tensor.shape == shape || (shape.empty() && tensor.shape == std::vector<std::int64_t>{1});
    if (!same_shape) {
      differences.push_back(fmt::format("shape: {} is [{}], config.json needs [{}]", name,
                                        fmt::join(tensor.shape, ", "), fmt::join(shape, ", ")));
    }
    if (!is_float(tensor.dtype)) {
      differences.push_back(
          fmt::format("type: {} is {}, F32, F16 or BF16 is needed", name, to_string(tensor.dtype)));
    }
  }
  for (const auto& [name, tensor] : file.tensors()) {
    if (!expected.contains(name) && !is_ignored(name)) {
      differences.push_back(
          fmt::format("unexpected: {} [{}]", name, fmt::join(tensor.shape, ", ")));
    }
  }
  if (differences.empty()) return;
  const std::size_t count = differences.size();
  if (count > max_listed) {
    differences.resize(max_listed);
    differences.push_back(fmt::format("and {} more", count - max_listed));
  }
  throw corruption(fmt::format("{} does not match config.json in {} places:\n  {}",
                               file.path().string(), count, fmt::join(differences, "\n  ")));
}

WeightMap read_weights(const SafetensorsFile& file, const WeightShapes& expected) {
  WeightMap weights;
  for (const auto& [name, shape] : expected) {
    at::Tensor tensor = torch::empty(shape, torch::kFloat32);
    file.read_float(name, {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())});
    weights.emplace(name, std::move(tensor));
  }
  return weights;
}

class ClipEncoder : public Encoder {
 public:
  explicit ClipEncoder(const EncoderOptions& options)
      : options_(options),
        threads_(options.threads > 0 ? options.threads : available_cores()),
        config_(parse_clip_config(std::filesystem::path(options.model) / "config.json")),
        tokenizer_(Tokenizer::load(options.model)),
        processor_(ImageProcessor::load(options.model)) {
    const std::filesystem::path folder = options.model;
    check_config(folder);
    const SafetensorsFile file(folder / kWeightsFile);
    const WeightShapes expected = expected_weights(config_);
    check_weights(file, expected);
    fingerprint_ = compute_fingerprint(folder);
    guarded("load the weights", [&] {
      const c10::InferenceMode inference;
      at::set_num_threads(threads_);
      WeightMap weights = read_weights(file, expected);
      for (const auto& [name, weight] : weights) parameters_ += weight.numel();
      model_ = std::make_unique<ClipModel>(config_, weights);
      logit_scale_ = std::exp(model_->logit_scale().item<float>());
    });
    if (!std::isfinite(logit_scale_)) {
      throw corruption(file.path().string() + ": logit_scale is not a usable number");
    }
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

  /// The config against the tokenizer and the image processor.
  void check_config(const std::filesystem::path& folder) const {
    if (config_.vision.channels != 3) {
      throw invalid_argument(fmt::format("{}: num_channels is {}; 3 (RGB) is supported",
                                         (folder / "config.json").string(),
                                         config_.vision.channels));
    }
    if (processor_.crop_height() != config_.vision.image_size ||
        processor_.crop_width() != config_.vision.image_size) {
      throw invalid_argument(
          fmt::format("{}: images of {} x {} pixels come out, config.json's image_size is {}",
                      (folder / "preprocessor_config.json").string(), processor_.crop_width(),
                      processor_.crop_height(), config_.vision.image_size));
    }
    if (tokenizer_.vocab_size() > config_.text.vocab_size) {
      throw invalid_argument(fmt::format("{}: ids up to {}, config.json's vocab_size is {}",
                                         (folder / "vocab.json").string(),
                                         tokenizer_.vocab_size() - 1, config_.text.vocab_size));
    }
    if (config_.text.context_length < 2) {
      throw invalid_argument((folder / "config.json").string() +
                             ": max_position_embeddings is below 2");
    }
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

std::unique_ptr<Encoder> load_clip_encoder(const EncoderOptions& options) {
  return std::make_unique<ClipEncoder>(options);
}

}  // namespace vitrine::encoder
