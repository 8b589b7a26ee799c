#include "encoder/cpu/quantized_linear.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <functional>

#include "base/error.h"

namespace vitrine::encoder::cpu {
namespace {

constexpr float kOutlierRatio = 3;
constexpr float kLargestWeight = 127;

/// Takes the value out of a row.
BFloat16 take(const Kernels& kernels, float& value) {
  BFloat16 rounded = 0;
  kernels.to_bf16(&value, 1, &rounded);
  value = 0;
  return rounded;
}
BFloat16 take(const Kernels& /*kernels*/, BFloat16& value) {
  const BFloat16 taken = value;
  value = 0;
  return taken;
}

auto quantize(const Kernels& kernels, const float* /*values*/) { return kernels.quantize; }
auto quantize(const Kernels& kernels, const BFloat16* /*values*/) { return kernels.quantize_bf16; }

}  // namespace

ColumnSpread spread_of_outputs(MatrixView weights, std::span<const float> bias,
                               const ColumnSpread& inputs) {
  ColumnSpread outputs;
  for (std::size_t row = 0; row < weights.rows; ++row) {
    const float* w = weights.data + row * weights.cols;
    float mean = bias[row], variance = 0;
    for (std::size_t i = 0; i < weights.cols; ++i) {
      const float deviation = w[i] * inputs.deviation[i];
      mean += w[i] * inputs.mean[i];
      variance += deviation * deviation;
    }
    outputs.mean.push_back(mean);
    outputs.deviation.push_back(std::sqrt(variance));
  }
  return outputs;
}

std::vector<int> outlier_columns(const ColumnSpread& inputs) {
  std::vector<float> reach;
  for (std::size_t i = 0; i < inputs.mean.size(); ++i) {
    reach.push_back(std::abs(inputs.mean[i]) + 3 * inputs.deviation[i]);
  }
  std::vector<float> sorted = reach;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::ranges::nth_element(sorted, middle);
  const float limit = kOutlierRatio * *middle;
  std::vector<int> columns;
  for (std::size_t i = 0; i < reach.size(); ++i) {
    if (reach[i] > limit) columns.push_back(static_cast<int>(i));
  }
  if (columns.size() > kMaxOutliers) {
    std::ranges::stable_sort(columns, std::greater<>(),
                             [&](int i) { return reach[static_cast<std::size_t>(i)]; });
    columns.resize(kMaxOutliers);
    std::ranges::sort(columns);
  }
  return columns;
}

QuantizedRows::QuantizedRows(const Kernels& kernels, int rows, int inputs, HugePages* pages)
    : numbers_(rows, inputs, reads_tiles<std::uint8_t>(kernels), pages),
      outliers_(static_cast<std::size_t>(rows) * kMaxOutliers, pages),
      quantization_(static_cast<std::size_t>(rows)) {}

void QuantizedRows::copy_row(int from, int to) {
  const auto source = static_cast<std::size_t>(from);
  const auto target = static_cast<std::size_t>(to);
  numbers_.copy_row(from, to);
  std::copy_n(outliers_.data() + source * kMaxOutliers, kMaxOutliers,
              outliers_.data() + target * kMaxOutliers);
  quantization_[target] = quantization_[source];
}

template <typename T>
QuantizedLinear<T>::QuantizedLinear(const Kernels& kernels, MatrixView weights,
                                    std::span<const float> bias, std::vector<int> outliers,
                                    HugePages* pages)
    : inputs_(static_cast<int>(weights.cols)),
      outputs_(static_cast<int>(weights.rows)),
      weights_(panel_size() * static_cast<std::size_t>(panels()), pages),
      scales_(static_cast<std::size_t>(panels()) * kPanelColumns),
      column_sums_(scales_.size()),
      bias_(scales_.size()),
      outliers_(std::move(outliers)) {
  if (depth() > kMaxInt8Depth) {
    throw invalid_argument(fmt::format("int8 is for layers of at most {} inputs; this one has {}",
                                       kMaxInt8Depth, inputs_));
  }
  if (bias.size() != weights.rows || outliers_.size() > kMaxOutliers) {
    throw internal_error("a quantized layer whose parts do not fit");
  }
  std::ranges::copy(bias, bias_.begin());
  if (!outliers_.empty()) {
    outlier_weights_ =
        AlignedBuffer<BFloat16>(static_cast<std::size_t>(panels()) * kMaxOutliers * kPanelColumns);
  }
  std::vector<float> row(weights.cols);
  std::vector<std::int8_t> numbers(static_cast<std::size_t>(depth()));
  std::vector<float> outlier_panel(static_cast<std::size_t>(kMaxOutliers) * kPanelColumns);
  for (std::size_t output = 0; output < weights.rows; ++output) {
    const std::size_t panel = output / kPanelColumns;
    const std::size_t column = output % kPanelColumns;
    std::copy_n(weights.data + output * weights.cols, weights.cols, row.begin());
    for (std::size_t i = 0; i < outliers_.size(); ++i) {
      float& weight = row[static_cast<std::size_t>(outliers_[i])];
      outlier_panel[i * kPanelColumns + column] = weight;
      weight = 0;
    }
    float largest = 0, unfit = 0;  // the latter becomes NaN where a weight is not finite
    for (const float weight : row) {
      largest = std::max(largest, std::abs(weight));
      unfit += weight * 0.0F;
    }
    const bool usable = largest > 1e-30F && unfit == 0.0F;
    const float steps = usable ? kLargestWeight / largest : 0.0F;
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < row.size(); ++i) {
      numbers[i] =
          usable ? static_cast<std::int8_t>(nearest_integer(row[i] * steps)) : std::int8_t{0};
      sum += numbers[i];
    }
    scales_[output] = largest / kLargestWeight + unfit;
    column_sums_[output] = sum;
    std::int8_t* target = weights_.data() + panel * panel_size() + 4 * column;
    for (std::size_t i = 0; i < numbers.size(); i += 4) {
      std::memcpy(target + i * kPanelColumns, &numbers[i], 4);
    }
    if (!outliers_.empty() && (column + 1 == kPanelColumns || output + 1 == weights.rows)) {
      kernels.interleave_bf16(outlier_panel.data(), kMaxOutliers / 2,
                              outlier_weights_.data() + panel * outlier_panel.size());
      std::ranges::fill(outlier_panel, 0.0F);
    }
  }
}

template <typename T>
template <typename V>
void QuantizedLinear<T>::write(const Kernels& kernels, V* values, int row,
                               QuantizedRows& rows) const {
  const auto index = static_cast<std::size_t>(row);
  BFloat16* outliers = rows.outliers_.data() + index * kMaxOutliers;
  std::fill_n(outliers, kMaxOutliers, BFloat16{0});
  for (std::size_t i = 0; i < outliers_.size(); ++i) {
    outliers[i] = take(kernels, values[outliers_[i]]);
  }
  rows.quantization_[index] = quantize(kernels, values)(values, inputs_, rows.numbers_.at(row, 0),
                                                        rows.numbers_.layout().line_stride);
}

template <typename T>
void QuantizedLinear<T>::write_row(const Kernels& kernels, float* values, int row,
                                   QuantizedRows& rows) const {
  write(kernels, values, row, rows);
}

template <typename T>
void QuantizedLinear<T>::write_row(const Kernels& kernels, BFloat16* values, int row,
                                   QuantizedRows& rows) const {
  write(kernels, values, row, rows);
}

template <typename T>
const float* QuantizedLinear<T>::multiply_block(const Kernels& kernels, const QuantizedRows& x,
                                                int row, int block, const RowRange& range,
                                                int panel, int panels, const Weight* next,
                                                std::byte* sums, float* outliers) const {
  auto* exact = reinterpret_cast<std::int32_t*>(sums);
  auto* values = reinterpret_cast<float*>(sums);
  const auto first = static_cast<std::size_t>(row);
  const auto first_panel = static_cast<std::size_t>(panel);
  // Each block of rows fetches its part of what comes next.
  const int lines =
      next == nullptr || next == this->panel(panel) ? 0 : static_cast<int>(panel_size()) / 64;
  const int rows = range.end - range.begin;
  const int done = row - range.begin;
  const int first_line = lines * done / rows;
  kernels.multiply_int8(x.numbers_.row(row), x.numbers_.layout(), block, this->panel(panel), panels,
                        depth(), exact, next + std::ptrdiff_t{64} * first_line,
                        lines * (done + block) / rows - first_line);
  if (!outliers_.empty()) {
    kernels.multiply_bf16(
        x.outliers_.data() + first * kMaxOutliers, row_major<BFloat16>(kMaxOutliers), block,
        outlier_weights_.data() + first_panel * (std::size_t{kMaxOutliers} * kPanelColumns), panels,
        kMaxOutliers, outliers, nullptr, 0);
  }
  for (int p = 0; p < panels; ++p) {
    const auto column = (first_panel + static_cast<std::size_t>(p)) * kPanelColumns;
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(p) * block * kPanelColumns;
    kernels.dequantize(exact + at, column_sums_.data() + column, scales_.data() + column,
                       x.quantization_.data() + first, block,
                       outliers_.empty() ? nullptr : outliers + at, values + at);
  }
  return values;
}

template class QuantizedLinear<float>;
template class QuantizedLinear<BFloat16>;

}  // namespace vitrine::encoder::cpu
