#include "encoder/cpu/linear.h"

#include "base/error.h"

namespace vitrine::encoder::cpu {

template <typename T>
PackedLinear<T>::PackedLinear(const Kernels& kernels, MatrixView weights,
                              std::span<const float> bias, HugePages* pages)
    : inputs_(static_cast<int>(weights.cols)),
      outputs_(static_cast<int>(weights.rows)),
      weights_(panel_size() * static_cast<std::size_t>(panels()), pages),
      bias_(static_cast<std::size_t>(panels()) * kPanelColumns) {
  if (!bias.empty() && bias.size() != weights.rows) {
    throw internal_error("a linear layer whose bias has another width");
  }
  std::copy(bias.begin(), bias.end(), bias_.begin());
  const auto depth = static_cast<std::size_t>(round_up(inputs_, kDepthUnit));
  // Transposed, a panel's rows of the weights are contiguous: as floats they are the panel.
  std::vector<float> panel(depth * kPanelColumns);
  for (int p = 0; p < panels(); ++p) {
    const int column = p * kPanelColumns;
    const int count = std::min(kPanelColumns, outputs_ - column);
    if (count < kPanelColumns) std::fill(panel.begin(), panel.end(), 0.0F);
    kernels.transpose(weights.data + static_cast<std::size_t>(column) * weights.cols, weights.cols,
                      count, inputs_, panel.data(), kPanelColumns);
    Value* target = weights_.data() + static_cast<std::size_t>(p) * panel_size();
    if constexpr (std::is_same_v<Value, float>) {
      std::copy(panel.begin(), panel.end(), target);
    } else {
      kernels.interleave_bf16(panel.data(), static_cast<int>(depth / 2), target);
    }
  }
}

template <>
void PackedLinear<float>::multiply_block(const Kernels& kernels, const float* x,
                                         const RowLayout& layout, int rows, const float* panels,
                                         int /*panel_count*/, const float* next, int /*next_lines*/,
                                         float* sums) const {
  // One panel: see panels_of_few_rows().
  kernels.multiply(x, layout.row_stride, rows, panels, kPanelColumns, kPanelColumns, inputs_, sums,
                   kPanelColumns, next == nullptr ? panels : next);
}

template <>
void PackedLinear<BFloat16>::multiply_block(const Kernels& kernels, const BFloat16* x,
                                            const RowLayout& layout, int rows,
                                            const BFloat16* panels, int panel_count,
                                            const BFloat16* next, int next_lines,
                                            float* sums) const {
  kernels.multiply_bf16(x, layout, rows, panels, panel_count, round_up(inputs_, kDepthUnit), sums,
                        next, next_lines);
}

template class PackedLinear<float>;
template class PackedLinear<BFloat16>;

}  // namespace vitrine::encoder::cpu
