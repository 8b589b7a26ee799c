#include "tools/training_step.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <exception>
#include <thread>

#include "tools/checkpoint_writer.h"
#include "tools/contrastive_loss.h"

namespace vitrine::tools {

at::Tensor pixel_values(const std::vector<std::uint8_t>& rgb, std::int64_t count,
                        std::int64_t size) {
  const at::Tensor bytes =
      at::from_blob(const_cast<std::uint8_t*>(rgb.data()), {count, size, size, 3}, at::kByte);
  const at::Tensor mean = at::tensor(at::ArrayRef<float>(kPixelMean, 3));
  const at::Tensor deviation = at::tensor(at::ArrayRef<float>(kPixelStd, 3));
  return ((bytes.to(at::kFloat) / 255.0 - mean) / deviation).permute({0, 3, 1, 2}).contiguous();
}

at::Tensor unit(const at::Tensor& x) {
  const at::Tensor wide = x.to(at::kFloat);
  return wide / wide.norm(2, 1, true).clamp_min(1e-6);
}

at::Tensor PromptEncoder::operator()(const std::vector<std::string>& prompts) {
  std::vector<const std::vector<std::int32_t>*> rows;
  std::size_t length = 0;
  for (const std::string& prompt : prompts) {
    auto [entry, fresh] = seen_.try_emplace(prompt);
    if (fresh) entry->second = tokenizer_->encode(prompt, kContextLength);
    rows.push_back(&entry->second);
    length = std::max(length, entry->second.size());
  }
  at::Tensor ids = at::full({std::int64_t(prompts.size()), std::int64_t(length)},
                            tokenizer_->end_id(), at::kLong);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::copy(rows[i]->begin(), rows[i]->end(), ids.data_ptr<std::int64_t>() + i * length);
  }
  return ids;
}

namespace {

void run_worker(const encoder::ClipConfig& config, const encoder::WeightMap& shared,
                const TrainingBatch& batch, Worker& worker, const StepOptions& options) {
  const at::ScalarType type = options.bfloat16 ? at::kBFloat16 : at::kFloat;
  for (const auto& [name, weight] : shared) {
    worker.weights[name] = weight.detach().to(type, false, true).requires_grad_();
  }
  const encoder::ClipModel model(config, worker.weights);
  const at::Tensor images = model.encode_images(
      pixel_values(batch.rgb, std::int64_t(batch.products.size()), options.image_size).to(type));
  const at::Tensor texts = model.encode_texts(worker.encode(batch.prompts));
  const at::Tensor scale = model.logit_scale().to(at::kFloat).clamp_max(4.6052).exp();
  const at::Tensor loss = contrastive_loss(batch, unit(images), unit(texts), scale);
  loss.backward();
  worker.loss = loss.item<double>();
}

}  // namespace

double step_gradients(const encoder::ClipConfig& config, const encoder::WeightMap& weights,
                      const Batches& batches, std::vector<Worker>& workers,
                      const StepOptions& options) {
  std::vector<std::exception_ptr> failures(workers.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < workers.size(); ++i) {
    threads.emplace_back([&, i] {
      try {
        at::set_num_threads(1);
        run_worker(config, weights, batches[i], workers[i], options);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  double loss = 0;
  for (std::size_t i = 0; i < workers.size(); ++i) {
    if (failures[i]) std::rethrow_exception(failures[i]);
    loss += workers[i].loss / double(workers.size());
  }
  for (const auto& [name, weight] : weights) {
    at::Tensor sum = at::zeros_like(weight.detach());
    for (const Worker& worker : workers) {
      if (worker.weights.at(name).grad().defined()) sum += worker.weights.at(name).grad();
    }
    weight.mutable_grad() = sum / double(workers.size());
  }
  return loss;
}

}  // namespace vitrine::tools
