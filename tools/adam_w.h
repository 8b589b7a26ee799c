#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace vitrine::tools {

/// Adam with decoupled weight decay, on float32 leaves. Matrices decay; vectors and scalars do not.
class AdamW {
 public:
  AdamW(std::vector<at::Tensor> parameters, double weight_decay);

  /// One update from the parameters' gradients, which are cleared. Gradients whose common norm
  /// exceeds max_norm are scaled down to it.
  void step(double learning_rate, double max_norm);

  /// Everything a resumed run needs: parameters and both moments, in a fixed order.
  std::vector<at::Tensor> state() const;
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) { steps_ = steps; }

 private:
  std::vector<at::Tensor> parameters_, mean_, variance_;
  double weight_decay_;
  std::int64_t steps_ = 0;
};

}  // namespace vitrine::tools
