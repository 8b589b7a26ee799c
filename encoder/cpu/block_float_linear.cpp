#include "encoder/cpu/block_float_linear.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"

namespace vitrine::encoder::cpu {
namespace {

/// The step of an output's weights: the largest is a number of 16 bits, and the absolute numbers of
/// a block add up to kBlockWeightSum at most, each rounded up by a half. NaN where a weight is not
/// finite.
float step_of(std::span<const float> weights) {
  constexpr float kLargest = std::numeric_limits<std::int16_t>::max();
  constexpr float kSum = static_cast<float>(kBlockWeightSum) - kBlockDepth;
  float step = 0, unfit = 0;
  for (std::size_t first = 0; first < weights.size(); first += kBlockDepth) {
    float largest = 0, sum = 0;
    for (const float weight :
         weights.subspan(first, std::min<std::size_t>(kBlockDepth, weights.size() - first))) {
      largest = std::max(largest, std::abs(weight));
      sum += std::abs(weight);
      unfit += weight * 0.0F;
    }
    step = std::max({step, largest / kLargest, sum / kSum});
  }
  return step + unfit;
}

/// Rounds to the nearest.
std::int16_t nearest(float value) {
  return static_cast<std::int16_t>(value < 0 ? value - 0.5F : value + 0.5F);
}

}  // namespace

BlockFloatRows::BlockFloatRows(const Kernels& /*kernels*/, int rows, int columns)
    : numbers_(rows, columns, false),
      blocks_(static_cast<std::size_t>(round_up(columns, kBlockDepth)) / kBlockDepth),
      scales_(static_cast<std::size_t>(rows) * blocks_) {}

void BlockFloatRows::write(const Kernels& kernels, int row, std::span<const float> values) {
  kernels.to_blocks(values.data(), static_cast<int>(values.size()), numbers_.at(row, 0),
                    scales(row));
}

void BlockFloatRows::read(int row, std::span<float> values) const {
  const std::int16_t* numbers = numbers_.row(row);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(numbers[i]) * scales(row)[i / kBlockDepth];
  }
}

void BlockFloatRows::copy_row(int from, int to) {
  numbers_.copy_row(from, to);
  std::copy_n(scales(from), blocks_, scales(to));
}

BlockFloatLinear::BlockFloatLinear(const Kernels& /*kernels*/, MatrixView weights,
                                   std::span<const float> bias)
    : inputs_(static_cast<int>(weights.cols)),
      outputs_(static_cast<int>(weights.rows)),
      weights_(panel_size() * static_cast<std::size_t>(panels())),
      scales_(static_cast<std::size_t>(panels()) * kPanelColumns),
      bias_(scales_.size()) {
  if (!bias.empty() && bias.size() != weights.rows) {
    throw internal_error("a linear layer whose bias has another width");
  }
  std::ranges::copy(bias, bias_.begin());
  std::vector<std::int16_t> numbers(static_cast<std::size_t>(depth()));
  for (std::size_t output = 0; output < weights.rows; ++output) {
    const std::span<const float> row(weights.data + output * weights.cols, weights.cols);
    const float step = step_of(row);
    const float steps = step > 1e-30F ? 1.0F / step : 0.0F;  // 0 also where a weight is not finite
    for (std::size_t i = 0; i < row.size(); ++i) {
      numbers[i] = steps > 0 ? nearest(row[i] * steps) : std::int16_t{0};
    }
    scales_[output] = step;
    std::int16_t* target =
        weights_.data() + output / kPanelColumns * panel_size() + 2 * (output % kPanelColumns);
    for (std::size_t i = 0; i < numbers.size(); i += 2) {
      std::memcpy(target + i * kPanelColumns, &numbers[i], 2 * sizeof(numbers[i]));
    }
  }
}

}  // namespace vitrine::encoder::cpu
