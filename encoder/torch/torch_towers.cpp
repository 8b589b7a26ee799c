#include "encoder/torch/torch_towers.h"

#include <ATen/Context.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>
#include <torch/types.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "base/error.h"
#include "encoder/torch/clip_model.h"

namespace vitrine::encoder {
namespace {

/// Runs LibTorch calls; what LibTorch throws does not leave this folder.
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

WeightMap read_weights(const CheckpointWeights& weights, const at::TensorOptions& options) {
  WeightMap tensors;
  for (const auto& [name, shape] : weights.shapes()) {
    at::Tensor tensor = torch::empty(shape, torch::kFloat32);
    weights.read_float(name, {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())});
    tensors.emplace(name, tensor.to(options));
  }
  return tensors;
}

Matrix to_matrix(const at::Tensor& tensor) {
  const at::Tensor values = tensor.to(torch::kCPU, torch::kFloat32).contiguous();
  Matrix matrix(static_cast<std::size_t>(values.size(0)), static_cast<std::size_t>(values.size(1)));
  std::memcpy(matrix.data(), values.data_ptr<float>(),
              matrix.rows() * matrix.cols() * sizeof(float));
  return matrix;
}

class TorchTowers : public ClipTowers {
 public:
  TorchTowers(const ClipConfig& config, const ImageProcessor& processor,
              const CheckpointWeights& weights, const at::TensorOptions& options)
      : processor_(processor), options_(options), model_(config, read_weights(weights, options)) {}

  Matrix encode_images(std::span<const Image> images) override {
    const auto columns = static_cast<std::size_t>(model_.config().projection_dim);
    if (images.empty()) return {0, columns};
    return guarded("encode images", [&] {
      const c10::InferenceMode inference;
      const std::int64_t size = model_.config().vision.image_size;
      at::Tensor pixels = torch::empty({static_cast<std::int64_t>(images.size()), 3, size, size});
      float* values = pixels.data_ptr<float>();
      for (const Image& image : images) {
        processor_.normalize(image, values);
        values += 3 * size * size;
      }
      return to_matrix(model_.encode_images(pixels.to(options_)));
    });
  }

  Matrix encode_texts(std::span<const std::vector<std::int32_t>> texts) override {
    const auto columns = static_cast<std::size_t>(model_.config().projection_dim);
    if (texts.empty()) return {0, columns};
    return guarded("encode texts", [&] {
      const c10::InferenceMode inference;
      std::size_t length = 0;
      for (const auto& ids : texts) length = std::max(length, ids.size());
      at::Tensor ids =
          torch::empty({static_cast<std::int64_t>(texts.size()), static_cast<std::int64_t>(length)},
                       torch::kInt64);
      std::int64_t* row = ids.data_ptr<std::int64_t>();
      for (const auto& text : texts) {
        // Where attention is causal, the end token again, behind the end, has no influence.
        const bool pads = model_.config().text.pooling == TextPooling::kLastPosition;
        std::fill(std::copy(text.begin(), text.end(), row), row + length,
                  pads ? model_.config().text.pad_token_id : text.back());
        row += length;
      }
      return to_matrix(model_.encode_texts(ids.to(options_.device())));
    });
  }

 private:
  const ImageProcessor& processor_;
  const at::TensorOptions options_;
  const ClipModel model_;
};

}  // namespace

bool torch_finds_cuda() { return at::hasCUDA(); }

std::unique_ptr<ClipTowers> make_torch_towers(const ClipConfig& config,
                                              const ImageProcessor& processor,
                                              const CheckpointWeights& weights, TorchPlace place) {
  return guarded("load the weights", [&]() -> std::unique_ptr<ClipTowers> {
    const c10::InferenceMode inference;
    const auto options = place == TorchPlace::kCudaFloat16
                             ? at::TensorOptions().device(torch::kCUDA).dtype(torch::kFloat16)
                             : at::TensorOptions().device(torch::kCPU).dtype(torch::kFloat32);
    return std::make_unique<TorchTowers>(config, processor, weights, options);
  });
}

}  // namespace vitrine::encoder
