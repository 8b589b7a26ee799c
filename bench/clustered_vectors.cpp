#include "bench/clustered_vectors.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "index/kernels/inner_product.h"
#include "index/parallel.h"

namespace vitrine::bench {

Matrix clustered_vectors(std::size_t rows, std::uint32_t seed, std::size_t columns) {
  constexpr std::size_t kLatent = 96;
  constexpr std::size_t kClusters = 2000;
  constexpr std::size_t kRowsAPart = 1000;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  Matrix basis(kLatent, columns);
  for (std::size_t i = 0; i < kLatent * columns; ++i) basis.data()[i] = normal(random);
  Matrix centres(kClusters, kLatent);
  for (std::size_t i = 0; i < kClusters * kLatent; ++i) centres.data()[i] = normal(random);
  std::vector<float> shared(columns);
  for (float& value : shared) value = 8 * normal(random);
  shared[133 % columns] = shared[310 % columns] = 150;

  Matrix vectors(rows, columns);
  const auto fill = [&](std::size_t part) {
    std::mt19937 own(seed + static_cast<std::uint32_t>(part));
    std::vector<float> latent(kLatent);
    for (std::size_t i = part * kRowsAPart; i < std::min(rows, (part + 1) * kRowsAPart); ++i) {
      const auto share = static_cast<double>(own()) / 4294967296.0;
      const auto centre = centres.row(static_cast<std::size_t>(share * share * kClusters));
      std::normal_distribution<float> scatter;
      for (std::size_t j = 0; j < kLatent; ++j) latent[j] = centre[j] + 0.8F * scatter(own);
      const auto row = vectors.row(i);
      for (std::size_t column = 0; column < columns; ++column) {
        // Uniform noise: a normal one would take most of the time.
        row[column] = shared[column] + 12.0F * (static_cast<float>(own() >> 8) * 0x1p-23F - 1.0F);
      }
      for (std::size_t j = 0; j < kLatent; ++j) {
        const float* direction = basis.row(j).data();
        for (std::size_t column = 0; column < columns; ++column) {
          row[column] += latent[j] * direction[column];
        }
      }
      const float length =
          std::sqrt(index::inner_product_kernel().pair(row.data(), row.data(), columns));
      for (float& value : row) value /= length;
    }
  };
  index::parallel_for((rows + kRowsAPart - 1) / kRowsAPart, omp_get_max_threads(), fill);
  return vectors;
}

}  // namespace vitrine::bench
