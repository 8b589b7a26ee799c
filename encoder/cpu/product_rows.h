#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "encoder/cpu/aligned_buffer.h"
#include "encoder/cpu/kernels.h"

namespace vitrine::encoder::cpu {

/// The smallest multiple of `unit` that is not below `n`.
constexpr int round_up(int n, int unit) { return (n + unit - 1) / unit * unit; }

/// Rows [begin, end).
struct RowRange {
  int begin = 0;
  int end = 0;
};

/// Distance, in values, between rows of `n` values: room for the depth a product works in, and an
/// odd number of cache lines, so that the rows of a block do not share a cache set.
template <typename Value>
constexpr std::size_t row_stride(int n) {
  constexpr int kLine = kLineValues<Value>;
  const int lines = round_up(n, 2 * kLine) / kLine;
  return static_cast<std::size_t>(lines + 1) * kLine;
}

/// Whether the kernels are fastest with rows of such values in tiles.
template <typename Value>
bool reads_tiles(const Kernels& kernels) {
  return kernels.tiles && sizeof(Value) < sizeof(float);
}

/// Rows that linear layers read, one after the other or, for kernels that multiply tiles, as tiles:
/// line by line, the same line of kTileRows rows together. Not safe for threads that write the same
/// row.
template <typename Value>
class ProductRows {
 public:
  ProductRows() = default;
  /// columns: of a row, at most. tiles: see reads_tiles(). pages: as those of AlignedBuffer.
  ProductRows(int rows, int columns, bool tiles, HugePages* pages = nullptr)
      : layout_(tiles ? tiled(columns) : row_major<Value>(row_stride<Value>(columns))),
        lines_(round_up(columns, kLine) / kLine),
        values_(
            static_cast<std::size_t>(round_up(rows, kTileRows)) / kTileRows * layout_.group_stride,
            pages) {}

  const RowLayout& layout() const { return layout_; }
  /// Of the row, which is the first of a group: a multiple of kTileRows, unless rows lie one after
  /// the other.
  const Value* row(int row) const { return values_.data() + offset(row, 0); }
  /// Column `column` of a row, and behind it the rest of its line.
  Value* at(int row, int column) { return values_.data() + offset(row, column); }

  /// values: of the first columns of the row.
  void write(int row, std::span<const Value> values) {
    for (std::size_t first = 0; first < values.size(); first += kLine) {
      std::ranges::copy(values.subspan(first, std::min<std::size_t>(kLine, values.size() - first)),
                        at(row, static_cast<int>(first)));
    }
  }
  void copy_row(int from, int to) {
    for (int line = 0; line < lines_; ++line) {
      std::copy_n(at(from, line * kLine), kLine, at(to, line * kLine));
    }
  }
  /// Calls work(first, count, out) for the runs of rows [row, row + count) that lie
  /// layout().row_stride apart: those from row + first on, beginning at column `column`.
  template <typename Work>
  void for_each_run(int row, int count, int column, const Work& work) {
    const bool one = layout_.group_stride == kTileRows * layout_.row_stride;
    for (int first = 0; first < count;) {
      const int run = one ? count : std::min(count - first, kTileRows - (row + first) % kTileRows);
      work(first, run, at(row + first, column));
      first += run;
    }
  }

 private:
  static constexpr int kLine = kLineValues<Value>;

  static RowLayout tiled(int columns) {
    const auto lines = static_cast<std::size_t>(round_up(columns, kLine) / kLine);
    return {.row_stride = kLine,
            .line_stride = std::size_t{kTileRows} * kLine,
            .group_stride = lines * kTileRows * kLine};
  }
  std::size_t offset(int row, int column) const {
    const auto r = static_cast<std::size_t>(row);
    const auto c = static_cast<std::size_t>(column);
    return r / kTileRows * layout_.group_stride + r % kTileRows * layout_.row_stride +
           c / kLine * layout_.line_stride + c % kLine;
  }

  RowLayout layout_;
  int lines_ = 0;
  AlignedBuffer<Value> values_;
};

}  // namespace vitrine::encoder::cpu
