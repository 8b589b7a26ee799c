#pragma once

#include <cmath>
#include <vector>

#include "base/matrix.h"

namespace vitrine::encoder::cpu {

/// Of a linear layer, y = W x + b, before it is packed.
struct Layer {
  Matrix weights;  // [outputs, inputs]
  std::vector<float> bias;
};

/// y: what the layer makes of the rows of x. The root mean square of its error, as a fraction of
/// that of the outputs.
inline double relative_error(const Layer& layer, const Matrix& x, const Matrix& y) {
  double error = 0, power = 0;
  for (std::size_t row = 0; row < x.rows(); ++row) {
    for (std::size_t out = 0; out < layer.bias.size(); ++out) {
      double sum = 0;
      for (std::size_t i = 0; i < x.cols(); ++i) {
        sum += double{x.row(row)[i]} * layer.weights.row(out)[i];
      }
      const double off = y.row(row)[out] - (sum + layer.bias[out]);
      error += off * off;
      power += sum * sum;
    }
  }
  return std::sqrt(error / power);
}

}  // namespace vitrine::encoder::cpu
