#include "encoder/cpu/block_float_linear.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/error.h"

namespace vitrine::encoder::cpu {
namespace {

/// The step of an output's weights: the largest is a number of 16 bits, and the absolute numbers of
/// a block add up to kBlockWeightSum at most, each rounded up by a half. NaN where a weight is not
/// finite.
float step_of(std::span<const float> weights) {
  constexpr float kLargest = std::numeric_limits<std::int16_t>::max();
  constexpr float kSum = static_cast<float>(kBlockWeightSum) - kBlockDepth;
  constexpr std::size_t kLanes = 8;  // side by side, so that a compiler takes vectors
  float step = 0, unfit = 0;
  for (std::size_t first = 0; first < weights.size(); first += kBlockDepth) {
    const auto block =
        weights.subspan(first, std::min<std::size_t>(kBlockDepth, weights.size() - first));
    float largest[kLanes] = {}, sums[kLanes] = {};
    const auto include = [&](std::size_t i, std::size_t lane) {
      const float size = std::abs(block[i]);
      largest[lane] = largest[lane] > size ? largest[lane] : size;
      sums[lane] += size;
    };
    std::size_t i = 0;
    for (; i + kLanes <= block.size(); i += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) include(i + lane, lane);
    }
    for (; i < block.size(); ++i) include(i, i % kLanes);
    const float sum = std::accumulate(sums, sums + kLanes, 0.0F);
    unfit += sum * 0.0F;
    step = std::max({step, *std::max_element(largest, largest + kLanes) / kLargest, sum / kSum});
  }
  return step + unfit;
}

}  // namespace

BlockFloatRows::BlockFloatRows(const Kernels& /*kernels*/, int rows, int columns, HugePages* pages)
    : numbers_(rows, columns, false, pages),
      blocks_(static_cast<std::size_t>(round_up(columns, kBlockDepth)) / kBlockDepth),
      scales_(static_cast<std::size_t>(rows) * blocks_, pages) {}

void BlockFloatRows::write(const Kernels& kernels, int row, int column,
                           std::span<const float> values) {
  kernels.to_blocks(values.data(), static_cast<int>(values.size()), numbers_.at(row, column),
                    scales(row) + column / kBlockDepth);
}

void BlockFloatRows::write_activated(const Kernels& kernels, Activation activation, int row,
                                     int count, int column, int columns, const float* sums,
                                     const float* bias) {
  kernels.activate_blocks(sums, static_cast<std::size_t>(count) * kPanelColumns, bias, activation,
                          count, round_up(columns, kPanelColumns) / kPanelColumns,
                          numbers_.at(row, column), numbers_.layout().row_stride,
                          scales(row) + column / kBlockDepth, blocks_);
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
                                   std::span<const float> bias, HugePages* pages)
    : inputs_(static_cast<int>(weights.cols)),
      outputs_(static_cast<int>(weights.rows)),
      weights_(panel_size() * static_cast<std::size_t>(panels()), pages),
      scales_(static_cast<std::size_t>(panels()) * kPanelColumns),
      bias_(scales_.size()) {
  if (!bias.empty() && bias.size() != weights.rows) {
    throw internal_error("a linear layer whose bias has another width");
  }
  std::ranges::copy(bias, bias_.begin());
  // The numbers of a panel's outputs, [kPanelColumns, depth()].
  const auto depth = static_cast<std::size_t>(this->depth());
  std::vector<std::int16_t> numbers(kPanelColumns * depth);
  for (int p = 0; p < panels(); ++p) {
    const auto first = static_cast<std::size_t>(p) * kPanelColumns;
    const std::size_t count = std::min<std::size_t>(kPanelColumns, weights.rows - first);
    if (count < kPanelColumns) std::ranges::fill(numbers, std::int16_t{0});
    for (std::size_t column = 0; column < count; ++column) {
      const std::span<const float> row(weights.data + (first + column) * weights.cols,
                                       weights.cols);
      const float step = step_of(row);
      scales_[first + column] = step;
      std::int16_t* out = numbers.data() + column * depth;
      if (step > 1e-30F) {
        const float steps = 1.0F / step;
        for (std::size_t i = 0; i < row.size(); ++i) {
          out[i] = static_cast<std::int16_t>(nearest_integer(row[i] * steps));
        }
      } else {  // too small, or NaN
        std::fill_n(out, row.size(), std::int16_t{0});
      }
    }
    std::int16_t* pairs = weights_.data() + static_cast<std::size_t>(p) * panel_size();
    for (std::size_t i = 0; i < depth; i += 2) {
      for (std::size_t column = 0; column < kPanelColumns; ++column, pairs += 2) {
        std::memcpy(pairs, &numbers[column * depth + i], 2 * sizeof(*pairs));
      }
    }
  }
}

}  // namespace vitrine::encoder::cpu
