#pragma once

#include <algorithm>
#include <cstddef>

#include "base/matrix.h"
#include "index/kernels/inner_product.h"

namespace vitrine::index {

/// The inner products of each row of a with each of b, row-major [a.rows, b.rows]: on the calling
/// thread, by tiles of b that stay in the cache while all of a (tens of rows) pass over them.
inline void products_of_rows(MatrixView a, MatrixView b, float* out) {
  constexpr std::size_t kTileFloats = 8192;
  const std::size_t tile = std::max<std::size_t>(kTileFloats / b.cols, 4);
  for (std::size_t first = 0; first < b.rows; first += tile) {
    const std::size_t count = std::min(tile, b.rows - first);
    for (std::size_t i = 0; i < a.rows; ++i) {
      inner_product_kernel().contiguous(a.row(i).data(), b.row(first).data(), count, b.cols,
                                        out + i * b.rows + first);
    }
  }
}

}  // namespace vitrine::index
