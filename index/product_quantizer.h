#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "index/kernels/table_sum.h"

namespace vitrine::index {

/// A query's table of products with every centroid, for table_sum.h: the product of the query and a
/// vector is about least + step * the sum of the entries that the vector's codes name.
struct ProductTables {
  std::vector<std::uint8_t> entries;  ///< [tables, kTableEntries]
  float least = 0;
  float step = 1;
};

/// Vectors in 4 bits for each of a number of sub-quantisers. A sub-quantiser sees a few dimensions
/// and has 16 centroids of them; a code names the nearest.
/// Immutable; any thread may read.
class ProductQuantizer {
 public:
  ProductQuantizer() = default;
  /// order: [tables, dimensions of a table]: what dimension of a vector stands there, -1 for none.
  /// centroids: [tables, dimensions of a table, kTableEntries]. tables: a multiple of 2.
  ProductQuantizer(std::size_t tables, std::vector<std::int32_t> order,
                   std::vector<float> centroids);

  /// Learns from a sample of vectors, at least 1. Dimensions are dealt out by how much the sample
  /// varies in them: a sub-quantiser gets as much to tell apart as any other, first of all one of
  /// the dimensions that vary most. tables: even, in [2, kMaxTables].
  /// Uses the OpenMP threads of the calling thread.
  static ProductQuantizer learn(MatrixView sample, std::size_t tables);

  std::size_t tables() const { return tables_; }
  /// Dimensions of a sub-quantiser.
  std::size_t width() const { return tables_ == 0 ? 0 : order_.size() / tables_; }
  const std::vector<std::int32_t>& order() const { return order_; }
  const std::vector<float>& centroids() const { return centroids_; }

  /// vector: as in the sample. codes: [tables()].
  void encode(const float* vector, std::uint8_t* codes) const;
  /// query: as a vector, of any length.
  ProductTables tables_for(const float* query) const;

 private:
  std::size_t tables_ = 0;
  std::vector<std::int32_t> order_;
  std::vector<float> centroids_;
};

}  // namespace vitrine::index
