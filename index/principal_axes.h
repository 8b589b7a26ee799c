#pragma once

#include <vector>

#include "base/matrix.h"

namespace vitrine::index {

/// Widest vectors whose axes are learnt: those of twice the width take eight times as long.
constexpr std::size_t kMaxAxes = 2048;

/// The axes along which the sample varies, the one along which it varies most first: the
/// orthonormal rows of [cols, cols]. sample: at least 1 row, at most kMaxAxes columns. mean: of the
/// sample, [cols].
Matrix principal_axes(MatrixView sample, const std::vector<float>& mean);

}  // namespace vitrine::index
