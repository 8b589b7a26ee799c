#include "index/product_quantizer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "index/k_means.h"
#include "index/parallel.h"

namespace vitrine::index {
namespace {

/// 16 centroids need no more vectors than this.
constexpr std::size_t kSample = 8192;
constexpr int kIterations = 12;
/// A dimension that varies less than this part of the one that varies most has nothing to tell.
constexpr double kLeastVariance = 1e-9;

float element(const float* vector, std::int32_t dimension) {
  return dimension < 0 ? 0.0F : vector[dimension];
}

/// Of centroids [width, kTableEntries] the nearest to a point [width].
std::uint8_t nearest_entry(const float* point, const float* centroids, std::size_t width) {
  float distances[kTableEntries] = {};
  for (std::size_t i = 0; i < width; ++i) {
    const float* centroid = centroids + i * kTableEntries;
    for (std::size_t j = 0; j < kTableEntries; ++j) {
      const float difference = point[i] - centroid[j];
      distances[j] += difference * difference;
    }
  }
  return static_cast<std::uint8_t>(std::min_element(distances, distances + kTableEntries) -
                                   distances);
}

std::vector<double> variances(MatrixView sample) {
  std::vector<double> sums(sample.cols, 0.0);
  std::vector<double> squares(sample.cols, 0.0);
  for (std::size_t i = 0; i < sample.rows; ++i) {
    for (std::size_t j = 0; j < sample.cols; ++j) {
      const double value = sample.row(i)[j];
      sums[j] += value;
      squares[j] += value * value;
    }
  }
  const auto count = static_cast<double>(sample.rows);
  for (std::size_t j = 0; j < sample.cols; ++j) {
    squares[j] = std::max(0.0, squares[j] / count - (sums[j] / count) * (sums[j] / count));
  }
  return squares;
}

/// Deals dimensions out, those that vary most first, each to the table whose dimensions' variances
/// have the least product so far: the product measures how much 16 centroids have to tell apart.
std::vector<std::int32_t> dealt(const std::vector<double>& variances, std::size_t tables) {
  const std::size_t width = (variances.size() + tables - 1) / tables;
  std::vector<std::int32_t> by_variance(variances.size());
  std::iota(by_variance.begin(), by_variance.end(), 0);
  const auto variance = [&](std::int32_t dimension) {
    return variances[static_cast<std::size_t>(dimension)];
  };
  std::ranges::stable_sort(
      by_variance, [&](std::int32_t a, std::int32_t b) { return variance(a) > variance(b); });
  const double least = std::max(variance(by_variance.front()) * kLeastVariance, 1e-30);
  std::vector<std::int32_t> order(tables * width, -1);
  std::vector<std::size_t> counts(tables, 0);
  std::vector<double> products(tables, 0.0);  // logarithms, none of them negative
  for (const std::int32_t dimension : by_variance) {
    std::size_t best = tables;
    for (std::size_t table = 0; table < tables; ++table) {
      if (counts[table] == width) continue;
      if (best == tables || products[table] < products[best]) best = table;
    }
    order[best * width + counts[best]++] = dimension;
    products[best] += std::log(std::max(variance(dimension), least) / least);
  }
  return order;
}

}  // namespace

ProductQuantizer::ProductQuantizer(std::size_t tables, std::vector<std::int32_t> order,
                                   std::vector<float> centroids)
    : tables_(tables), order_(std::move(order)), centroids_(std::move(centroids)) {}

ProductQuantizer ProductQuantizer::learn(MatrixView sample, std::size_t tables) {
  std::vector<std::int32_t> order = dealt(variances(sample), tables);
  const std::size_t width = order.size() / tables;
  std::vector<float> centroids(order.size() * kTableEntries);
  const std::size_t stride = (sample.rows + kSample - 1) / kSample;
  const std::size_t rows = (sample.rows + stride - 1) / stride;
  parallel_for(tables, threads_for(rows * order.size() * kTableEntries * kIterations),
               [&](std::size_t table) {
                 Matrix points(rows, width);
                 for (std::size_t i = 0; i < rows; ++i) {
                   for (std::size_t j = 0; j < width; ++j) {
                     points.row(i)[j] =
                         element(sample.row(i * stride).data(), order[table * width + j]);
                   }
                 }
                 float* own = centroids.data() + table * width * kTableEntries;
                 const auto turn = [&](const Matrix& learnt) {
                   for (std::size_t entry = 0; entry < kTableEntries; ++entry) {
                     for (std::size_t j = 0; j < width; ++j) {
                       own[j * kTableEntries + entry] = learnt.row(entry)[j];
                     }
                   }
                 };
                 turn(k_means(points, kTableEntries, kIterations,
                              [&](const Matrix& learnt, std::span<std::int32_t> nearest) {
                                turn(learnt);
                                for (std::size_t i = 0; i < rows; ++i) {
                                  nearest[i] = nearest_entry(points.row(i).data(), own, width);
                                }
                              }));
               });
  return ProductQuantizer(tables, std::move(order), std::move(centroids));
}

void ProductQuantizer::encode(const float* vector, std::uint8_t* codes) const {
  const std::size_t each = width();
  std::vector<float> point(each);
  for (std::size_t table = 0; table < tables_; ++table) {
    for (std::size_t i = 0; i < each; ++i) point[i] = element(vector, order_[table * each + i]);
    codes[table] =
        nearest_entry(point.data(), centroids_.data() + table * each * kTableEntries, each);
  }
}

ProductTables ProductQuantizer::tables_for(const float* query) const {
  const std::size_t each = width();
  std::vector<float> products(tables_ * kTableEntries, 0.0F);
  std::vector<float> leasts(tables_);
  float widest = 0;
  double sum_of_leasts = 0;
  for (std::size_t table = 0; table < tables_; ++table) {
    float* own = products.data() + table * kTableEntries;
    for (std::size_t i = table * each; i < (table + 1) * each; ++i) {
      const float value = element(query, order_[i]);
      const float* centroids = centroids_.data() + i * kTableEntries;
      for (std::size_t j = 0; j < kTableEntries; ++j) own[j] += value * centroids[j];
    }
    const auto [least, most] = std::minmax_element(own, own + kTableEntries);
    leasts[table] = *least;
    sum_of_leasts += *least;
    widest = std::max(widest, *most - *least);
  }
  ProductTables result;
  result.least = static_cast<float>(sum_of_leasts);
  result.step = widest > 1e-30F ? widest / 255.0F : 1.0F;
  const float steps = 1.0F / result.step;
  result.entries.resize(products.size());
  for (std::size_t i = 0; i < products.size(); ++i) {
    const float above = (products[i] - leasts[i / kTableEntries]) * steps + 0.5F;
    result.entries[i] = static_cast<std::uint8_t>(std::min(above, 255.0F));
  }
  return result;
}

}  // namespace vitrine::index
