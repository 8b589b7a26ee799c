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
#include "encoder/cpu/product_rows.h"

namespace vitrine::encoder::cpu {

/// Rows of numbers in block floating point of 16 bits: in steps of 1/8191 of the largest of
/// kBlockDepth. Not safe for threads that write the same row.
class BlockFloatRows {
 public:
  BlockFloatRows() = default;
  /// columns: of a row, at most.
  BlockFloatRows(const Kernels& kernels, int rows, int columns);

  /// values: of the first columns of the row.
  void write(const Kernels& kernels, int row, std::span<const float> values);
  void read(int row, std::span<float> values) const;
  void copy_row(int from, int to);

 private:
  friend class BlockFloatLinear;
  float* scales(int row) { return scales_.data() + static_cast<std::size_t>(row) * blocks_; }
  const float* scales(int row) const {
    return scales_.data() + static_cast<std::size_t>(row) * blocks_;
  }

  ProductRows<std::int16_t> numbers_;  // [rows, columns]
  std::size_t blocks_ = 0;             // of a row
  std::vector<float> scales_;          // [rows, blocks]
};

/// A linear layer, y = W x + b, in block floating point of 16 bits: inputs in steps of 1/8191 of
/// the largest of kBlockDepth, the weights of an output in steps that let sums be exact. What a CPU
/// without bfloat16 products multiplies as fast as 8-bit numbers, with a tenth of bfloat16's error.
/// Immutable.
class BlockFloatLinear {
 public:
  using Value = float;  ///< what the inputs are rounded from
  using Rows = BlockFloatRows;
  using Weight = std::int16_t;

  BlockFloatLinear() = default;
  /// weights: [outputs, inputs]. bias: outputs, or empty for none. pages: for the weights, as
  /// those of AlignedBuffer.
  BlockFloatLinear(const Kernels& kernels, MatrixView weights, std::span<const float> bias,
                   HugePages* pages = nullptr);

  int inputs() const { return inputs_; }
  int outputs() const { return outputs_; }
  /// Groups of kPanelColumns outputs; the last may be filled up with zeros.
  int panels() const { return round_up(outputs_, kPanelColumns) / kPanelColumns; }

  /// How many panels are multiplied together.
  static int panels_at_once(const Kernels& /*kernels*/, int /*rows*/) { return 1; }

  /// Rounds inputs() values to row `row` of `rows`.
  void write_row(const Kernels& kernels, const float* values, int row, Rows& rows) const {
    rows.write(kernels, row, {values, static_cast<std::size_t>(inputs_)});
  }

  /// As PackedLinear::multiply(), of rows that write_row() of this layer wrote.
  template <typename Finish>
  void multiply(const Kernels& kernels, const Rows& x, int rows, int first_panel, int last_panel,
                const Weight* next, const Finish& finish) const {
    alignas(64) float sums[kBlockRows * kPanelColumns];
    for (int panel = first_panel; panel < last_panel; ++panel) {
      const int column = panel * kPanelColumns;
      const Weight* after = panel + 1 < last_panel ? this->panel(panel + 1) : next;
      for (int row = 0; row < rows; row += kBlockRows) {
        const int block = std::min(kBlockRows, rows - row);
        kernels.multiply_blocks(x.numbers_.row(row), x.numbers_.layout().row_stride, x.scales(row),
                                x.blocks_, block, this->panel(panel), scales_.data() + column,
                                depth(), sums, row + block < rows ? this->panel(panel) : after);
        finish(row, block, column, std::min(kPanelColumns, outputs_ - column), sums,
               bias_.data() + column);
      }
    }
  }
  /// Where a panel's weights lie.
  const Weight* panel(int i) const {
    return weights_.data() + static_cast<std::size_t>(i) * panel_size();
  }

 private:
  int depth() const { return round_up(inputs_, 32); }
  std::size_t panel_size() const { return static_cast<std::size_t>(depth()) * kPanelColumns; }

  int inputs_ = 0;
  int outputs_ = 0;
  AlignedBuffer<Weight> weights_;  // [panels][panel_size()]
  std::vector<float> scales_;      // [panels * kPanelColumns], of the weights of an output
  std::vector<float> bias_;        // [panels * kPanelColumns]
};

}  // namespace vitrine::encoder::cpu
