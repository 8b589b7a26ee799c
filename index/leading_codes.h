#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/matrix.h"
#include "index/kernels/byte_dot.h"
#include "index/kernels/byte_weights.h"
#include "index/kernels/code_dot.h"
#include "index/large_array.h"
#include "index/vector_table.h"

namespace vitrine::index {

/// A query for comparison with leading codes. See LeadingCodes.
struct LeadingQuery : ByteWeights {
  float base = 0;  ///< query . mean
  /// With query . x being what any kernel of inner_product.h says,
  ///   |query . x - score(x)| <= length * error(x) + rest * rest(x) + slack
  ///   |query . x - rough_score(x)| <= rough_length * scale(x) + rough_slack
  float length = 0;
  float rest = 0;
  float slack = 0;
  float rough_length = 0;
  float rough_slack = 0;
  float whole_length = 0;  ///< |query|, as float32 has it

  /// What the product of high with a row's code says; its scale is the row's.
  ByteDotScore rough_score() const { return {base, step, 128 * high_sum}; }
  /// Asks whether a vector with this rough_score() may score `enough`; its error is its scale.
  ProductBound rough_bound(float enough) const {
    return {base, step / 2, 256 * high_sum, rough_length, rough_slack, enough};
  }
  /// low_product: of low with its code.
  float score(float scale, std::int32_t high_product, std::int32_t low_product) const {
    const std::int32_t steps =
        kLowSteps * (high_product - 128 * high_sum) + (low_product - 128 * low_sum);
    return base + scale * (step / kLowSteps) * static_cast<float>(steps);
  }
  /// Of score(), at most; of the row: its error and its rest.
  float error(float row_error, float row_rest) const {
    return length * row_error + rest * row_rest + slack;
  }
};

/// The same of the first LeadingCodes::kFirstElements, in one byte each, for a scan that reads no
/// more than those. What all vectors have of the score alike is left out:
///   score(x) = scale * weights.step * (product of the weights with its code, less kCodeOfZero)
///   |query . (x - mean) - score(x)| <= length * error(x) + rest * rest(x) + lost * |s| + slack
/// where rest(x) and s are those of the first elements.
struct RoundedQuery {
  RoundedWeights weights;  ///< of other elements: 0
  double length = 0;
  double rest = 0;
  double lost = 0;
  double slack = 0;
};

/// Leading codes that lie one behind another.
struct LeadingRows {
  const std::uint8_t* codes = nullptr;  ///< [n, kByteRow], rows of a ByteDotKernel
  const float* scales = nullptr;        ///< [n]
  const float* errors = nullptr;        ///< [n]: |R A (x - mean) - s|, at most
  const float* rests = nullptr;         ///< [n]: |x'|, at most
};

/// Vectors that vary along few axes, as those of a small model or of products of one sort do: what
/// they are along the 32 that say most, in 32 bytes each, with a bound on what that loses.
///
/// A being the axes, orthonormal rows, and R a Rotation of the first 24 elements and one of the
/// others, x is stored as s = scale * (code - 128), the nearest to R A (x - mean), scale being the
/// row's own. The first axis is that of the mean, along which queries are long.
/// For a query with R A q = w + (what steps lose)
///   |<q, x> - <q, mean> - <w, s>| <= |A q| |R A (x - mean) - s| + |R A q - w| |s| + |q'| |x'|
/// where q' and x' are what the axes leave of the query and of x - mean.
/// Immutable; any thread may read.
class LeadingCodes {
 public:
  static constexpr int kCodeOfZero = 128;
  /// Of the axes that say most. All of the above holds for them alone as well, where what the other
  /// elements say counts as rest.
  static constexpr std::size_t kFirstElements = 24;

  /// None: empty().
  LeadingCodes() = default;
  /// None where the vectors are few or vary along too many axes. mean: [dimension], of the vectors.
  /// Uses the OpenMP threads of the calling thread; the codes do not depend on their number.
  LeadingCodes(const VectorTable& vectors, const std::vector<float>& mean);

  /// What those of so many vectors take in a file, from one multiple of kCodeAlignment to another.
  static std::size_t bytes_of(std::size_t size, std::size_t dimension);
  /// What write_to() wrote, not copied: bytes must start at a multiple of kCodeAlignment in memory,
  /// and owner keeps them there. No bytes: none. Throws Corruption when they are not the codes of
  /// so many vectors.
  LeadingCodes(std::string_view bytes, std::size_t size, std::size_t dimension,
               std::shared_ptr<const void> owner);
  /// Hands the codes to write, piece by piece, if there are any.
  void write_to(const std::function<void(std::string_view)>& write) const;

  bool empty() const { return rows_.codes == nullptr; }
  /// Of all vectors, by place.
  const LeadingRows& rows() const { return rows_; }
  const std::uint8_t* codes() const { return rows_.codes; }
  const float* scales() const { return rows_.scales; }
  const float* errors() const { return rows_.errors; }
  const float* rests() const { return rows_.rests; }

  /// What is not in a file, in bytes.
  std::size_t heap_bytes() const {
    return own_bytes_ + (2 * kByteRow + kFirstElements) * axes_.cols() * sizeof(float);
  }

  /// R A: [kByteRow, dimension]
  const Matrix& axes() const { return axes_; }

  /// Codes what lies along the axes and may be no vector; returns its scale. What is coded is not
  /// longer than the longest vector, so that the bound of LeadingQuery holds for it: its error and
  /// its rest are 0 if it is taken for what its code says. elements, code: [kByteRow].
  float encode_centre(const float* elements, std::uint8_t* code) const;

  /// What a code says, scale * (code - kCodeOfZero): of float elements rounded, of double ones
  /// exactly. code, elements: [kByteRow].
  template <typename Element>
  static void decode(const std::uint8_t* code, float scale, Element* elements) {
    for (std::size_t i = 0; i < kByteRow; ++i) {
      elements[i] = static_cast<Element>(scale) * static_cast<Element>(code[i] - kCodeOfZero);
    }
  }

  /// Makes a code and its scale likely to be near the CPU soon.
  void prefetch(std::size_t place) const {
    __builtin_prefetch(rows_.codes + place * kByteRow);
    __builtin_prefetch(rows_.scales + place);
  }

  /// query: [dimension], of unit length within 1e-3. base: query . mean, by a kernel.
  void encode_query(const float* query, float base, LeadingQuery& code) const;
  /// most_weight: in magnitude, 1 to 127.
  RoundedQuery round_query(const float* query, int most_weight) const;

 private:
  struct Arrays;

  /// Of a query, the terms of the bound on how far scores are off, as LeadingQuery has them.
  struct QueryBound {
    double length;
    double square;  // |query|^2
    double rest;
    double rounding;  // what rounding adds
  };

  void encode(const VectorTable& vectors, const std::vector<float>& mean, Arrays& arrays);
  /// square: of the elements, in float32. base: of the score; 0 where that leaves it out.
  QueryBound bound_of(const float* query, float base, float square) const;
  void set_axes(Matrix axes);

  std::size_t size_ = 0;
  Matrix axes_;  // R A: [kByteRow, dimension]
  // The same transposed, and of it the first elements: [dimension, kByteRow or kFirstElements].
  std::shared_ptr<const LargeArray<float>> columns_;
  std::shared_ptr<const LargeArray<float>> first_columns_;
  float skew_ = 0;          // |A A^T - 1|, at most
  float longest_ = 0;       // |s| of any row, at most
  float longest_rest_ = 0;  // |x'| of any row, at most
  LeadingRows rows_;
  std::shared_ptr<const void> owner_;  // of what they point to
  std::size_t own_bytes_ = 0;          // of that, where it is in no file
};

}  // namespace vitrine::index
