#include "index/k_means.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "index/parallel.h"
#include "index/products.h"

namespace vitrine::index {
namespace {

constexpr std::size_t kPointsATask = 64;

/// The rows of `count` points, as different ones as there are.
std::vector<std::size_t> sample(std::size_t points, std::size_t count, std::mt19937& random) {
  std::vector<std::size_t> rows(points);
  std::iota(rows.begin(), rows.end(), std::size_t{0});
  for (std::size_t i = 0; i < std::min(count, points); ++i) {
    std::swap(rows[i], rows[i + random() % (points - i)]);
  }
  for (std::size_t i = points; i < count; ++i) rows.push_back(rows[i - points]);
  rows.resize(count);
  return rows;
}

}  // namespace

Matrix k_means(MatrixView points, std::size_t count, int iterations, const Assign& assign) {
  std::mt19937 random(1);
  Matrix centroids(count, points.cols);
  const auto take_point = [&](std::size_t centroid, std::size_t point) {
    std::ranges::copy(points.row(point), centroids.row(centroid).begin());
  };
  const std::vector<std::size_t> first = sample(points.rows, count, random);
  for (std::size_t i = 0; i < count; ++i) take_point(i, first[i]);

  std::vector<std::int32_t> nearest(points.rows);
  std::vector<double> sums(count * points.cols);
  std::vector<std::size_t> sizes(count);
  for (int iteration = 0; iteration < iterations; ++iteration) {
    assign(centroids, nearest);
    std::ranges::fill(sums, 0.0);
    std::ranges::fill(sizes, std::size_t{0});
    // On one thread: the order of additions decides about the last bits.
    for (std::size_t i = 0; i < points.rows; ++i) {
      const auto centroid = static_cast<std::size_t>(nearest[i]);
      double* sum = sums.data() + centroid * points.cols;
      for (std::size_t j = 0; j < points.cols; ++j) sum[j] += points.row(i)[j];
      ++sizes[centroid];
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (sizes[i] == 0) {
        take_point(i, random() % points.rows);  // most likely one of a large cluster
        continue;
      }
      for (std::size_t j = 0; j < points.cols; ++j) {
        centroids.row(i)[j] =
            static_cast<float>(sums[i * points.cols + j] / static_cast<double>(sizes[i]));
      }
    }
  }
  return centroids;
}

void find_nearest(MatrixView points, MatrixView centroids, std::span<std::int32_t> nearest) {
  const std::vector<float> halves = half_squares(centroids);
  const std::size_t tasks = (points.rows + kPointsATask - 1) / kPointsATask;
  parallel_for(
      tasks, threads_for(points.rows * centroids.rows * points.cols), [&](std::size_t task) {
        const std::size_t first = task * kPointsATask;
        const std::size_t count = std::min(kPointsATask, points.rows - first);
        std::vector<float> products(count * centroids.rows);
        products_of_rows({points.row(first).data(), count, points.cols}, centroids,
                         products.data());
        for (std::size_t i = 0; i < count; ++i) {
          float* scores = products.data() + i * centroids.rows;
          for (std::size_t j = 0; j < centroids.rows; ++j) scores[j] -= halves[j];
          nearest[first + i] =
              static_cast<std::int32_t>(std::max_element(scores, scores + centroids.rows) - scores);
        }
      });
}

std::vector<float> half_squares(MatrixView rows) {
  std::vector<float> halves(rows.rows);
  for (std::size_t i = 0; i < rows.rows; ++i) {
    const float* row = rows.row(i).data();
    halves[i] = inner_product_kernel().pair(row, row, rows.cols) / 2;
  }
  return halves;
}

}  // namespace vitrine::index
