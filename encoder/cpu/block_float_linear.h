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
/// kBlockDepth. Not safe for threads that write the same block of a row.
class BlockFloatRows {
 public:
  BlockFloatRows() = default;
  /// columns: of a row, at most. pages: as those of AlignedBuffer.
  BlockFloatRows(const Kernels& kernels, int rows, int columns, HugePages* pages = nullptr);

  /// values: of the first columns of the row.
  void write(const Kernels& kernels, int row, std::span<const float> values) {
    write(kernels, row, 0, values);
  }
  /// values: of the columns from `column` on, which begins a block; they end one or the row. Safe
  /// for threads with different blocks.
  void write(const Kernels& kernels, int row, int column, std::span<const float> values);
  /// Writes what the activation makes of sums + bias to `count` rows from `row` on, in columns
  /// [column, column + columns) rounded up to whole panels; column begins a block, columns end one
  /// or the row. sums: [panels][count, kPanelColumns]. Safe for threads with different blocks.
  void write_activated(const Kernels& kernels, Activation activation, int row, int count,
                       int column, int columns, const float* sums, const float* bias);
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
  AlignedBuffer<float> scales_;        // [rows, blocks]
};

/// A linear layer, y = W x + b, in block floating point of 16 bits: inputs in steps of 1/8191 of
/// the largest of kBlockDepth, the weights of an output in steps that let sums be exact. With a
/// tenth of bfloat16's error, what a CPU without fast bfloat16 products multiplies instead: as fast
/// as 8-bit numbers, or half as fast where it has an instruction for those. Immutable.
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

  /// Of so many rows, those that are multiplied before finish() takes them.
  static int block_rows(const Kernels& /*kernels*/, int rows) { return even_block_rows(rows); }

  /// Rounds inputs() values to row `row` of `rows`.
  void write_row(const Kernels& kernels, const float* values, int row, Rows& rows) const {
    rows.write(kernels, row, {values, static_cast<std::size_t>(inputs_)});
  }

  /// As PackedLinear::multiply(), of rows that write_row() of this layer wrote.
  template <typename Finish>
  void multiply(const Kernels& kernels, const Rows& x, const RowRange& rows, int first_panel,
                int last_panel, const Weight* next, const Finish& finish) const {
    multiply_groups<1>(kernels, x, rows, first_panel, last_panel, next, finish);
  }

  /// The same by kGroup panels, fewer of the last: finish() takes the outputs of all panels of a
  /// group at once. sums: [panels][count, kPanelColumns].
  template <int kGroup, typename Finish>
  void multiply_groups(const Kernels& kernels, const Rows& x, const RowRange& rows, int first_panel,
                       int last_panel, const Weight* next, const Finish& finish) const {
    alignas(64) float sums[kGroup * kMostBlockRows * kPanelColumns];
    const int block_rows = this->block_rows(kernels, rows.end - rows.begin);
    for (int first = first_panel; first < last_panel; first += kGroup) {
      const int last = std::min(first + kGroup, last_panel);
      const Weight* after = last < last_panel ? this->panel(last) : next;
      for (int row = rows.begin; row < rows.end; row += block_rows) {
        const int block = std::min(block_rows, rows.end - row);
        // The next block of rows reads the same panels again.
        const Weight* then = row + block < rows.end ? this->panel(first) : after;
        for (int panel = first; panel < last; ++panel) {
          kernels.multiply_blocks(x.numbers_.row(row), x.numbers_.layout().row_stride,
                                  x.scales(row), x.blocks_, block, this->panel(panel),
                                  scales_.data() + panel * kPanelColumns, depth(),
                                  sums + (panel - first) * block * kPanelColumns,
                                  panel + 1 < last ? this->panel(panel + 1) : then);
        }
        const int column = first * kPanelColumns;
        finish(row, block, column, std::min(last * kPanelColumns, outputs_) - column, sums,
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
