#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "index/leading_codes.h"
#include "index/vector_table.h"

namespace vitrine::index {

/// Vectors that have leading codes, in groups of near ones. All of a group lie within an angle of
/// its centre: in a cap of the sphere, which says what any of them scores at most. A search that
/// knows k vectors that score enough passes over the caps in which none can score more, and is
/// still exact.
///
/// With t the angle between a query q and a cap's centre c, and a that of the cap, its vectors x
/// have <q, x> <= |q| |x| cos(max(0, t - a)): the triangle inequality of angles (E. Schubert, "A
/// Triangle Inequality for Cosine Similarity", 2021). So x scores s at most unless
/// t <= a + arccos(s / (|q| |x|)). A centre is coded as a vector is (LeadingCodes), and is what its
/// code says.
/// Immutable; any thread may read.
class Caps {
 public:
  /// None: empty().
  Caps() = default;
  /// Of all the vectors; none where there are no leading codes. mean: that of the codes. Uses the
  /// OpenMP threads of the calling thread; the caps do not depend on their number.
  Caps(const VectorTable& vectors, const std::vector<float>& mean, const LeadingCodes& leading);

  /// What write_to() wrote, not copied: bytes must start at a multiple of kCodeAlignment in memory,
  /// and owner keeps them there. No bytes: none. Throws Corruption when they are not the caps of so
  /// many vectors.
  Caps(std::string_view bytes, std::size_t vectors, std::size_t dimension,
       std::shared_ptr<const void> owner);
  /// Hands the caps to write, piece by piece, if there are any.
  void write_to(const std::function<void(std::string_view)>& write) const;

  bool empty() const { return size_ == 0; }
  /// What is not in a file, in bytes.
  std::size_t heap_bytes() const { return own_bytes_; }
  /// Number of caps.
  std::size_t size() const { return size_; }
  /// The vectors, cap after cap, by their leading codes.
  const LeadingRows& members() const { return members_; }
  /// [vectors]: where they lie among all vectors.
  const std::int32_t* places() const { return places_; }
  /// Of a cap's members, the first; that of size() is where the last cap ends.
  std::size_t begin_of(std::size_t cap) const { return static_cast<std::size_t>(begins_[cap]); }
  /// Makes a cap's members likely to be near the CPU soon.
  void prefetch(std::size_t cap) const;

  /// Of the angles between the query and the centres, at most. out: [size()].
  void cosines(const LeadingQuery& query, float* out) const;

  /// The caps that may have vectors which score `enough` by any kernel of inner_product.h.
  /// cosines: [size()], of the query; those of caps to leave out are -infinity. out: has room for
  /// size() of them. Returns how many there are.
  std::size_t reached(const LeadingQuery& query, const float* cosines, float enough,
                      std::int32_t* out) const;

 private:
  struct Arrays;

  /// Fills the arrays for one cap. Returns the length of its longest vector. elements: of all
  /// vectors along the axes.
  double fill(std::size_t cap, const VectorTable& vectors, const std::vector<float>& mean,
              const LeadingCodes& leading, const Matrix& elements, Arrays& arrays) const;

  std::size_t dimension_ = 0;
  float longest_ = 0;  // |x| of any vector, at most
  std::size_t size_ = 0;
  const std::int32_t* begins_ = nullptr;  // [size_ + 1], among the places
  const std::int32_t* places_ = nullptr;
  LeadingRows members_;
  const std::uint8_t* codes_ = nullptr;  // [size_, kByteRow], of the centres, and their scales
  const float* scales_ = nullptr;
  const float* inverses_ = nullptr;    // [size_]: 1 / |c|
  const float* cosines_ = nullptr;     // [size_]: of the angle, at most
  const float* sines_ = nullptr;       // [size_]: of the angle, at least
  std::shared_ptr<const void> owner_;  // of what all these point to
  std::size_t own_bytes_ = 0;          // of that, where it is in no file
};

}  // namespace vitrine::index
