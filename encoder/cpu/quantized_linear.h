#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "encoder/cpu/aligned_buffer.h"
#include "encoder/cpu/kernels.h"
#include "encoder/cpu/linear.h"

namespace vitrine::encoder::cpu {

/// Columns of a layer's inputs that are kept out of the 8-bit product, at most.
inline constexpr int kMaxOutliers = 32;

/// How far the columns of a layer's inputs spread, as the weights alone tell it.
struct ColumnSpread {
  std::vector<float> mean;
  std::vector<float> deviation;  ///< of each column
};
/// The spread of W x + b, were the columns of x independent. weights: [outputs, inputs].
ColumnSpread spread_of_outputs(MatrixView weights, std::span<const float> bias,
                               const ColumnSpread& inputs);
/// The columns whose |mean| + 3 deviations exceed three times the median of that, the largest
/// kMaxOutliers of them; ascending. One such column would make the steps of a whole row coarse.
std::vector<int> outlier_columns(const ColumnSpread& inputs);

/// Rows of inputs as QuantizedLinear reads them: 8-bit numbers in steps of the row's own, beside
/// them the outliers in bfloat16.
class QuantizedRows {
 public:
  QuantizedRows() = default;
  /// For products of these kernels. inputs: of a row, at most. pages: as those of AlignedBuffer.
  QuantizedRows(const Kernels& kernels, int rows, int inputs, HugePages* pages = nullptr);

  void copy_row(int from, int to);

 private:
  template <typename T>
  friend class QuantizedLinear;
  ProductRows<std::uint8_t> numbers_;  // [rows, inputs]
  AlignedBuffer<BFloat16> outliers_;   // [rows, kMaxOutliers]
  std::vector<RowQuantization> quantization_;
};

/// A linear layer, y = W x + b, in 8 bits: the weights of an output in 255 equal steps about zero,
/// a row of inputs in 256 between its least and its largest value, sums exact. T: what stands
/// between the layers: BFloat16 where products of it are fast, else float. Immutable.
template <typename T>
class QuantizedLinear {
 public:
  using Value = T;
  using Rows = QuantizedRows;
  using Weight = std::int8_t;

  QuantizedLinear() = default;
  /// weights: [outputs, inputs]. bias: outputs. outliers: at most kMaxOutliers columns of the
  /// inputs, ascending. pages: for the weights, as those of AlignedBuffer. Throws InvalidArgument
  /// for more than kMaxInt8Depth inputs.
  QuantizedLinear(const Kernels& kernels, MatrixView weights, std::span<const float> bias,
                  std::vector<int> outliers, HugePages* pages = nullptr);

  int inputs() const { return inputs_; }
  int outputs() const { return outputs_; }
  /// Groups of kPanelColumns outputs; the last may be filled up with zeros.
  int panels() const { return round_up(outputs_, kPanelColumns) / kPanelColumns; }

  /// How many panels are multiplied together.
  static int panels_at_once(const Kernels& kernels, int rows) {
    return panels_of_few_rows<std::uint8_t>(kernels, rows);
  }

  /// Of so many rows, those that are multiplied before finish() takes them.
  static int block_rows(const Kernels& kernels, int rows) {
    return reads_tiles<std::uint8_t>(kernels) ? kTiledBlockRows : even_block_rows(rows);
  }

  /// Rounds inputs() values to row `row` of `rows`. Of the values, outliers become zero.
  void write_row(const Kernels& kernels, float* values, int row, QuantizedRows& rows) const;
  void write_row(const Kernels& kernels, BFloat16* values, int row, QuantizedRows& rows) const;

  /// As PackedLinear::multiply(), of rows that write_row() of this layer wrote.
  template <typename Finish>
  void multiply(const Kernels& kernels, const Rows& x, const RowRange& range, int first_panel,
                int last_panel, const Weight* next, const Finish& finish) const {
    // Sums, which become values where they are; then, where there are outliers, their products.
    alignas(64) std::byte sums[kTiledBlockRows * kPanelColumns * sizeof(float)];
    alignas(64) float outliers[kTiledBlockRows * kPanelColumns];
    const int rows = range.end - range.begin;
    const int block_rows = this->block_rows(kernels, rows);
    const int most_panels = panels_at_once(kernels, rows);
    for (int panel = first_panel; panel < last_panel; panel += most_panels) {
      const int panels = std::min(most_panels, last_panel - panel);
      const Weight* after = panel + panels < last_panel ? this->panel(panel + panels) : next;
      for (int row = range.begin; row < range.end; row += block_rows) {
        const int block = std::min(block_rows, range.end - row);
        const float* values =
            multiply_block(kernels, x, row, block, range, panel, panels, after, sums, outliers);
        for (int p = 0; p < panels; ++p) {
          const int column = (panel + p) * kPanelColumns;
          finish(row, block, column, std::min(kPanelColumns, outputs_ - column),
                 values + p * block * kPanelColumns, bias_.data() + column);
        }
      }
    }
  }

  /// Where a panel's weights lie.
  const Weight* panel(int i) const {
    return weights_.data() + static_cast<std::size_t>(i) * panel_size();
  }

 private:
  int depth() const { return round_up(inputs_, kInt8DepthUnit); }
  std::size_t panel_size() const { return static_cast<std::size_t>(depth()) * kPanelColumns; }
  /// Returns what rows [row, row + block) of the range give in the panels, which is in `sums`.
  const float* multiply_block(const Kernels& kernels, const QuantizedRows& x, int row, int block,
                              const RowRange& range, int panel, int panels, const Weight* next,
                              std::byte* sums, float* outliers) const;
  template <typename V>
  void write(const Kernels& kernels, V* values, int row, QuantizedRows& rows) const;

  int inputs_ = 0;
  int outputs_ = 0;
  AlignedBuffer<std::int8_t> weights_;     // [panels][panel_size()]
  std::vector<float> scales_;              // [panels * kPanelColumns], of the weights of an output
  std::vector<std::int32_t> column_sums_;  // [panels * kPanelColumns], of the weights of an output
  std::vector<float> bias_;                // [panels * kPanelColumns]
  std::vector<int> outliers_;
  AlignedBuffer<BFloat16> outlier_weights_;  // [panels][kMaxOutliers * kPanelColumns], or empty
};

}  // namespace vitrine::encoder::cpu
