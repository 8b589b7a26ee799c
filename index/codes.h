#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "index/caps.h"
#include "index/kernels/code_dot.h"
#include "index/leading_codes.h"
#include "index/packed_codes.h"
#include "index/rotation.h"
#include "index/vector_table.h"

namespace vitrine::index {

/// A query for comparison with codes, in 16 bits an element. See CodeTable.
struct QueryCode {
  std::vector<std::int8_t> high;  ///< [2 * width]: the query's elements / 256 steps, to the nearest
  std::vector<std::int8_t> low;   ///< [2 * width]: what is left, in steps
  std::int32_t high_sum = 0;      ///< of all elements of high
  std::int32_t low_sum = 0;
  float base = 0;  ///< query . mean
  float step = 0;
  /// With query . x being what any kernel of inner_product.h says,
  ///   |query . x - score(x)| <= length * error(x) + slack
  ///   |query . x - finer_score(x)| <= rough_length * error(x) + rough_slack
  ///   |query . x - rough_score(x)| <= rough_length * rough_error(x) + rough_slack
  float length = 0;
  float slack = 0;
  float rough_length = 0;
  float rough_slack = 0;
  float lost_length = 0;  ///< of what the steps leave of the query, at most
  float rough_lost_length = 0;
  std::vector<float> rotated;  ///< [dimension]: what it was made of
  LeadingQuery leading;        ///< where the table has leading codes

  /// What the upper bytes of the query and the upper halves of a code say. upper_high: their
  /// product.
  float rough_score(float scale, std::int32_t upper_high) const {
    return base + scale * step * 2048.0F * static_cast<float>(2 * upper_high - 15 * high_sum);
  }
  /// Asks whether a vector with this rough_score() may score `enough`.
  ProductBound rough_bound(float enough) const {
    return {base, step * 2048.0F, 15 * high_sum, rough_length, rough_slack, enough};
  }
  /// What the upper bytes of the query and whole codes say. whole_high: their product.
  float finer_score(float scale, std::int32_t whole_high) const {
    return base + scale * step * 256.0F * static_cast<float>(whole_high - 128 * high_sum);
  }
  float finer_error(float error) const { return rough_length * error + rough_slack; }
  /// What all bits say. upper_high, lower_high, ...: products of a half of the code and a byte of
  /// the query.
  float score(float scale, std::int32_t upper_high, std::int32_t lower_high, std::int32_t upper_low,
              std::int32_t lower_low) const {
    const auto high_part = static_cast<float>(16 * upper_high + lower_high - 128 * high_sum);
    const auto low_part = static_cast<float>(16 * upper_low + lower_low - 128 * low_sum);
    return base + scale * step * (256.0F * high_part + low_part);
  }
};

/// Every vector of an index in one byte an element, with a bound on what that loses.
///
/// x is stored as x' = mean + R^T (scale * (code - 128)), R being a Rotation and scale the row's
/// own, together with error >= |R (x - mean) - scale * (code - 128)|, which is |x - x'|. For a
/// query q' = R^T (step * (256 high + low)) Cauchy and Schwarz give
///   |<q, x> - <q', x'>| <= |q| |x - x'| + |q - q'| |x' - mean|
/// and rounding (of the rotation, of score() and of the float32 kernel itself) is bounded in turn.
///
/// A code is 16 * upper + lower. The two halves lie apart, so that whoever is content with the
/// upper one, which stands for x'' = mean + R^T (scale * (16 upper - 120)) and has a rough_error
/// of its own, reads half a byte an element.
/// Immutable; any thread may read.
class CodeTable {
 public:
  /// Whether vectors that vary along few axes get leading codes, and what is made of those. It
  /// takes longer than the codes themselves.
  enum class Leading { kWhereWorth, kNone };

  CodeTable() = default;
  /// vectors: at least one, none longer than 1.001. Uses the OpenMP threads of the calling thread;
  /// the codes do not depend on their number.
  explicit CodeTable(const VectorTable& vectors, Leading leading = Leading::kWhereWorth);

  /// What write_to() wrote, not copied: bytes must start at a multiple of kCodeAlignment in memory,
  /// and owner keeps them there. Throws Corruption when they are not the codes of so many vectors.
  CodeTable(std::string_view bytes, std::size_t size, std::size_t dimension,
            std::shared_ptr<const void> owner);
  /// Hands the codes to write, piece by piece.
  void write_to(const std::function<void(std::string_view)>& write) const;

  /// Bytes of half a code: the dimension, rounded up to a multiple of kCodeBlock, / 2.
  std::size_t width() const { return width_; }
  std::size_t size() const { return size_; }
  /// [size(), width()], rows of a CodeDotKernel.
  const std::uint8_t* upper() const { return upper_; }
  /// [size(), width()]
  const std::uint8_t* lower() const { return lower_; }
  /// [dimension]
  const std::vector<float>& mean() const { return mean_; }
  /// [size()]
  const float* scales() const { return scales_; }
  /// [size()]
  const float* errors() const { return errors_; }
  /// [size()]
  const float* rough_errors() const { return rough_errors_; }

  /// Of the same vectors, in the same places; empty() where they would be of little use.
  const LeadingCodes& leading() const { return leading_; }
  /// Of the same vectors, where they have leading codes.
  const Caps& caps() const { return caps_; }
  /// The leading codes of few vectors.
  const PackedCodes& packed() const { return packed_; }

  /// What is not in a file, in bytes.
  std::size_t heap_bytes() const {
    return own_bytes_ + leading_.heap_bytes() + caps_.heap_bytes() + packed_.heap_bytes();
  }

  /// A code less 128, put together again, as the query of a CodeDotKernel. out: [2 * width()].
  void unpack(std::size_t place, std::int8_t* out) const;

  /// Makes the upper half of a code, and its scale, likely to be near the CPU soon.
  void prefetch_upper(std::size_t place) const {
    prefetch(upper_ + place * width_);
    __builtin_prefetch(scales_ + place);
  }
  void prefetch_lower(std::size_t place) const { prefetch(lower_ + place * width_); }
  /// All of a code whose halves are of kCodeAlignment bytes.
  void prefetch_short(std::size_t place) const {
    __builtin_prefetch(upper_ + place * kCodeAlignment);
    __builtin_prefetch(lower_ + place * kCodeAlignment);
    __builtin_prefetch(scales_ + place);
  }

  /// query: [dimension], of unit length within 1e-3.
  QueryCode encode_query(const float* query) const;
  /// The same without allocating where code held a query before.
  void encode_query(const float* query, QueryCode& code) const;
  /// As much of it as a scan or a walk by leading codes needs: where there are any, nothing but
  /// base and leading. Else all of it.
  void encode_query_for_scan(const float* query, QueryCode& code) const;
  /// Makes the code that another table of this dimension made of the query one for this table, at
  /// the cost of one comparison.
  void adopt_query(const float* query, QueryCode& code) const;

 private:
  struct Arrays;
  struct Scratch;

  void encode_row(const float* vector, std::size_t place, Arrays& arrays, Scratch& scratch) const;
  void prefetch(const std::uint8_t* row) const {
    for (std::size_t i = 0; i < width_; i += 64) __builtin_prefetch(row + i);
  }

  std::size_t dimension_ = 0;
  std::size_t width_ = 0;
  Rotation rotation_{1};
  std::vector<float> mean_;  // [dimension], of a sample
  double mean_length_ = 0;   // at least
  std::size_t size_ = 0;
  const std::uint8_t* upper_ = nullptr;
  const std::uint8_t* lower_ = nullptr;
  const float* scales_ = nullptr;
  const float* errors_ = nullptr;
  const float* rough_errors_ = nullptr;
  std::shared_ptr<const void> owner_;  // of what the five point to
  std::size_t own_bytes_ = 0;          // of that, where it is in no file
  LeadingCodes leading_;
  Caps caps_;
  PackedCodes packed_;
};

}  // namespace vitrine::index
