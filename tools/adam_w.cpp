#include "tools/adam_w.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

namespace vitrine::tools {
namespace {
constexpr double kBeta1 = 0.9, kBeta2 = 0.98, kEps = 1e-8;
}  // namespace

AdamW::AdamW(std::vector<at::Tensor> parameters, double weight_decay)
    : parameters_(std::move(parameters)), weight_decay_(weight_decay) {
  for (const at::Tensor& parameter : parameters_) {
    mean_.push_back(at::zeros_like(parameter).detach());
    variance_.push_back(at::zeros_like(parameter).detach());
  }
}

void AdamW::step(double learning_rate, double max_norm) {
  const c10::AutoGradMode no_gradients(false);
  ++steps_;
  double squares = 0;
  for (const at::Tensor& parameter : parameters_) {
    const at::Tensor& gradient = parameter.grad();
    if (gradient.defined()) squares += gradient.norm().square().item<double>();
  }
  const double norm = std::sqrt(squares);
  const double shrink = norm > max_norm ? max_norm / norm : 1.0;
  const double correction1 = 1.0 - std::pow(kBeta1, double(steps_));
  const double correction2 = 1.0 - std::pow(kBeta2, double(steps_));
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor& parameter = parameters_[i];
    if (!parameter.grad().defined()) continue;
    const at::Tensor gradient = parameter.grad() * shrink;
    mean_[i].mul_(kBeta1).add_(gradient, 1.0 - kBeta1);
    variance_[i].mul_(kBeta2).addcmul_(gradient, gradient, 1.0 - kBeta2);
    if (parameter.dim() >= 2) parameter.mul_(1.0 - learning_rate * weight_decay_);
    const at::Tensor size = (variance_[i] / correction2).sqrt_().add_(kEps);
    parameter.addcdiv_(mean_[i], size, -learning_rate / correction1);
    parameter.mutable_grad() = at::Tensor();
  }
}

std::vector<at::Tensor> AdamW::state() const {
  std::vector<at::Tensor> all;
  for (const auto* list : {&parameters_, &mean_, &variance_}) {
    for (const at::Tensor& tensor : *list) all.push_back(tensor.detach());
  }
  return all;
}

}  // namespace vitrine::tools
