#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/matrix.h"

namespace vitrine::index {

/// Writes the number of each point's nearest centroid, [points].
using Assign = std::function<void(const Matrix& centroids, std::span<std::int32_t> nearest)>;

/// Centroids of the points: [count, points.cols], count at least 1. Lloyd's iterations from `count`
/// of the points, of which there must be at least one; with fewer than count some centroids are
/// equal. The same points and assignments give the same centroids.
Matrix k_means(MatrixView points, std::size_t count, int iterations, const Assign& assign);

/// The nearest of the centroids to each point, by distance; of equally near ones the first. Uses
/// the OpenMP threads of the calling thread.
void find_nearest(MatrixView points, MatrixView centroids, std::span<std::int32_t> nearest);

/// Half the square of each row's length, [rows]: what turns inner products into an order of
/// distances, |p - c|^2 = |p|^2 - 2 (p . c - |c|^2 / 2).
std::vector<float> half_squares(MatrixView rows);

}  // namespace vitrine::index
