#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "base/matrix.h"
#include "encoder/cpu/aligned_buffer.h"
#include "encoder/cpu/kernels.h"
#include "encoder/cpu/product_rows.h"

namespace vitrine::encoder::cpu {

/// Rows of sums that are made before what follows a product takes them: about so many, and rather
/// somewhat more than two blocks, of which the second would have the next panel to fetch alone.
/// Tiles are configured once for all of them.
inline constexpr int kBlockRows = 48;
inline constexpr int kMostBlockRows = 60;
inline constexpr int kTiledBlockRows = 256;

/// Rows of a block where all are in blocks of at most kMostBlockRows: about as many in each, in
/// units that fill AVX2's registers of sums and half of AVX-512's.
constexpr int even_block_rows(int rows) {
  constexpr int kUnit = 6;
  const int blocks = rows <= kMostBlockRows ? 1 : (rows + kBlockRows - 1) / kBlockRows;
  return round_up((rows + blocks - 1) / blocks, kUnit);
}

/// The nearest integer, the even one of two, for |value| < 2^22: a function that a compiler takes
/// many of at once, as it does not with std::nearbyint.
inline std::int32_t nearest_integer(float value) {
  constexpr float kShift = 12582912.0F;  // 1.5 * 2^23, whose last bit counts one
  return std::bit_cast<std::int32_t>(value + kShift) - std::bit_cast<std::int32_t>(kShift);
}

/// How many panels are multiplied together with rows of such values. In tile registers several
/// where rows are few: see multiply_few_rows() of kernels_amx.cpp. Otherwise one, for while it is
/// multiplied as much is fetched as the next one has.
template <typename Value>
int panels_of_few_rows(const Kernels& kernels, int rows) {
  return reads_tiles<Value>(kernels) ? std::max(1, kBlockRows / std::max(rows, kTileRows)) : 1;
}

/// A linear layer, y = W x + b, whose weights lie in the order in which a product reads them.
/// T: float, or BFloat16 for weights and inputs of half the size; sums are float32. Immutable.
template <typename T>
class PackedLinear {
 public:
  using Value = T;              ///< of the inputs
  using Rows = ProductRows<T>;  ///< of inputs, as the product reads them
  using Weight = T;

  PackedLinear() = default;
  /// weights: [outputs, inputs]. bias: outputs, or empty for none. pages: for the weights, as
  /// those of AlignedBuffer.
  PackedLinear(const Kernels& kernels, MatrixView weights, std::span<const float> bias,
               HugePages* pages = nullptr);

  int inputs() const { return inputs_; }
  int outputs() const { return outputs_; }
  /// Groups of kPanelColumns outputs; the last may be filled up with zeros.
  int panels() const { return round_up(outputs_, kPanelColumns) / kPanelColumns; }

  /// How many panels are multiplied together.
  static int panels_at_once(const Kernels& kernels, int rows) {
    return panels_of_few_rows<Value>(kernels, rows);
  }

  /// Copies inputs() values to row `row` of `rows`.
  void write_row(const Kernels& /*kernels*/, const Value* values, int row, Rows& rows) const {
    rows.write(row, {values, static_cast<std::size_t>(inputs_)});
  }

  /// Of so many rows, those that are multiplied before finish() takes them.
  static int block_rows(const Kernels& kernels, int rows) {
    if constexpr (std::is_same_v<Value, float>) return even_block_rows(rows);
    return reads_tiles<Value>(kernels) ? kTiledBlockRows : 32;
  }

  /// Computes panels [first_panel, last_panel) of a range of rows of the inputs, which begins at a
  /// multiple of kTileRows where rows lie in tiles. finish(row, count, column, columns, sums, bias)
  /// takes outputs of `count` rows, from `row` and `column` on: sums without bias, rows at
  /// kPanelColumns; bias. x: zeros between inputs() and the next multiple of 32. next: the panel()
  /// that will be read after these, of whatever layer, so that it comes from memory meanwhile; null
  /// for none.
  template <typename Finish>
  void multiply(const Kernels& kernels, const Rows& x, const RowRange& range, int first_panel,
                int last_panel, const Weight* next, const Finish& finish) const {
    alignas(64) float sums[kTiledBlockRows * kPanelColumns];
    const int rows = range.end - range.begin;
    const int block_rows = this->block_rows(kernels, rows);
    const int most_panels = panels_at_once(kernels, rows);
    for (int panel = first_panel; panel < last_panel; panel += most_panels) {
      const int panels = std::min(most_panels, last_panel - panel);
      const Weight* after = panel + panels < last_panel ? this->panel(panel + panels) : next;
      for (int row = range.begin; row < range.end; row += block_rows) {
        const int block = std::min(block_rows, range.end - row);
        if constexpr (std::is_same_v<Value, float>) {
          // The next block of rows reads the same panel again.
          multiply_block(kernels, x.row(row), x.layout(), block, this->panel(panel), panels,
                         row + block < range.end ? this->panel(panel) : after, 0, sums);
        } else {
          // Each block of rows fetches its part of what comes next.
          const int lines = after == nullptr || after == this->panel(panel) ? 0 : panel_lines();
          const int done = row - range.begin;
          const int first_line = lines * done / rows;
          multiply_block(kernels, x.row(row), x.layout(), block, this->panel(panel), panels,
                         after + first_line * kLine, lines * (done + block) / rows - first_line,
                         sums);
        }
        for (int p = 0; p < panels; ++p) {
          const int column = (panel + p) * kPanelColumns;
          finish(row, block, column, std::min(kPanelColumns, outputs_ - column),
                 sums + p * block * kPanelColumns, bias_.data() + column);
        }
      }
    }
  }

  /// Where a panel's weights lie.
  const Weight* panel(int i) const {
    return weights_.data() + static_cast<std::size_t>(i) * panel_size();
  }

 private:
  static constexpr int kLine = kLineValues<Value>;
  static constexpr int kDepthUnit = 32;  // inputs are filled up to a multiple of it

  std::size_t panel_size() const {
    return static_cast<std::size_t>(round_up(inputs_, kDepthUnit)) * kPanelColumns;
  }
  int panel_lines() const { return static_cast<int>(panel_size()) / kLine; }
  void multiply_block(const Kernels& kernels, const Value* x, const RowLayout& layout, int rows,
                      const Value* panels, int panel_count, const Value* next, int next_lines,
                      float* sums) const;

  int inputs_ = 0;
  int outputs_ = 0;
  AlignedBuffer<Value> weights_;  // [panels][panel_size()]
  std::vector<float> bias_;       // [panels * kPanelColumns]
};

}  // namespace vitrine::encoder::cpu
