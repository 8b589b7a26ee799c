#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/matrix.h"
#include "index/exact_search.h"
#include "index/product_quantizer.h"
#include "index/row_set.h"
#include "index/top_k.h"

namespace vitrine::index {

/// What is learnt of an index's vectors before they are put into lists.
///
/// A vector x is turned to the principal axes and centred, y = axes * x - mean. It belongs to the
/// list whose centroid is nearest to y's leading elements: those hold most of what tells vectors
/// apart, and make looking for lists cheap. What is left of y once the centroid is taken off is
/// what the quantiser encodes.
struct PqModel {
  Matrix axes;              ///< [dimension, dimension], orthonormal rows
  std::vector<float> mean;  ///< [dimension], along the axes
  Matrix centroids;         ///< [lists, leading elements]
  ProductQuantizer quantizer;

  std::size_t dimension() const { return mean.size(); }
};

/// Learns from vectors of unit length. lists: at least 1. code_bytes: IndexSpec::pq_bytes; fewer
/// where the dimension needs no more. still_wanted: called now and then; it may throw to stop.
/// Uses the OpenMP threads of the calling thread.
PqModel learn_pq_model(MatrixView vectors, std::size_t lists, std::size_t code_bytes,
                       const std::function<void()>& still_wanted);

/// The codes of an index's vectors, in lists. The place of a vector is where it lies among all,
/// those of one list together. Immutable; any thread may read.
class PqLists {
 public:
  /// Encodes all vectors. progress: told how many are encoded, from any thread; may throw.
  PqLists(PqModel model, MatrixView vectors, const std::function<void(std::size_t)>& progress);

  /// What write_to() wrote; codes and rows are not copied: bytes must start at a multiple of
  /// kCodeAlignment in memory, and owner keeps them there. Throws Corruption unless they are lists
  /// of so many vectors, each in one.
  PqLists(std::string_view bytes, std::size_t size, std::size_t dimension,
          std::shared_ptr<const void> owner);
  /// Hands the lists to write, piece by piece.
  void write_to(const std::function<void(std::string_view)>& write) const;

  /// What is not in a file, in bytes.
  std::size_t heap_bytes() const;

  const PqModel& model() const { return model_; }
  std::size_t size() const { return size_; }
  /// The places of each list.
  std::span<const PlaceRange> lists() const { return lists_; }
  /// [size()], by place.
  const std::int32_t* rows() const { return rows_; }
  /// codes: [quantizer.tables()].
  void codes_at(std::size_t place, std::uint8_t* codes) const;

  /// Which lists a search scans.
  struct Effort {
    std::size_t lists = 1;            ///< the nearest ones, at most lists().size()
    std::size_t wanted = 0;           ///< rows to see at least, from further lists if need be
    const RowSet* allowed = nullptr;  ///< rows that count; null: all
  };
  /// The `count` rows that look best by their codes, or as many as are seen, best first. Scores are
  /// about those of the vectors less what is the same for all. query: [dimension]. On the calling
  /// thread.
  std::vector<Hit> candidates(const float* query, std::size_t count, const Effort& effort) const;

 private:
  struct Arrays;

  std::size_t block_bytes() const { return model_.quantizer.tables() * kBlockVectors / 2; }
  void prepare();

  PqModel model_;
  std::size_t size_ = 0;
  std::vector<PlaceRange> lists_;
  std::vector<float> half_squares_;        // [lists] of the centroids
  std::vector<float> products_with_mean_;  // [lists] of the centroids
  const std::int32_t* rows_ = nullptr;     // [size()], place -> row
  const std::uint8_t* blocks_ = nullptr;   // [size() / 32, rounded up][block_bytes()]
  std::shared_ptr<const void> owner_;      // of what the two point to
  std::size_t own_bytes_ = 0;              // of that, where it is in no file
};

}  // namespace vitrine::index
