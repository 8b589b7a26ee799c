#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "index/rotation.h"
#include "index/vector_table.h"

namespace vitrine::index {

/// A query for comparison with codes. See CodeTable.
struct QueryCode {
  std::vector<std::int8_t> high;  ///< [width]: the query's elements / 256 steps, to the nearest
  std::vector<std::int8_t> low;   ///< [width]: what is left, in steps
  std::int32_t high_offset = 0;   ///< 128 times the sum of high, to be taken from a product
  std::int32_t low_offset = 0;    ///< the same of low
  float base = 0;                 ///< query . mean
  float step = 0;
  /// |query . x - score(x)| <= length * error(x) + slack, where query . x is what any kernel of
  /// inner_product.h says.
  float length = 0;
  float slack = 0;

  /// What 16 bits of the query say. dot_high, dot_low: products of code_dot.h.
  float score(float scale, std::int32_t dot_high, std::int32_t dot_low) const {
    const auto high_part = static_cast<float>(dot_high - high_offset);
    const auto low_part = static_cast<float>(dot_low - low_offset);
    return base + scale * step * (256.0F * high_part + low_part);
  }
  /// What its upper 8 bits say: enough to walk a graph by.
  float score(float scale, std::int32_t dot_high) const {
    return base + scale * step * 256.0F * static_cast<float>(dot_high - high_offset);
  }
};

/// Every vector of an index in one byte an element, with a bound on what that loses.
///
/// x is stored as x' = mean + R^T (scale * (code - 128)), R being a Rotation and scale the row's
/// own, together with error >= |R (x - mean) - scale * (code - 128)|, which is |x - x'|. For a
/// query q' = R^T (step * (256 high + low)) Cauchy and Schwarz give
///   |<q, x> - <q', x'>| <= |q| |x - x'| + |q - q'| |x' - mean|
/// and rounding (of the rotation, of score() and of the float32 kernel itself) is bounded in turn.
/// Immutable; any thread may read.
class CodeTable {
 public:
  CodeTable() = default;
  /// vectors: of unit length within 1e-3. Uses the OpenMP threads of the calling thread; the codes
  /// do not depend on their number.
  explicit CodeTable(const VectorTable& vectors);

  /// What write_to() wrote, not copied: bytes must start at a multiple of kCodeAlignment in memory,
  /// and owner keeps them there. Throws Corruption when they are not the codes of so many vectors.
  CodeTable(std::string_view bytes, std::size_t size, std::size_t dimension,
            std::shared_ptr<const void> owner);
  /// Hands the codes to write, piece by piece.
  void write_to(const std::function<void(std::string_view)>& write) const;

  /// Bytes of a code: the dimension, rounded up to a multiple of kCodeAlignment.
  std::size_t width() const { return width_; }
  std::size_t size() const { return size_; }
  /// [size(), width()]
  const std::uint8_t* codes() const { return codes_; }
  /// [dimension]
  const std::vector<float>& mean() const { return mean_; }
  /// [size()]
  const float* scales() const { return scales_; }
  /// [size()]
  const float* errors() const { return errors_; }

  /// Makes a code likely to be near the CPU soon.
  void prefetch(std::size_t place) const {
    const std::uint8_t* code = codes_ + place * width_;
    for (std::size_t i = 0; i < width_; i += 64) __builtin_prefetch(code + i);
  }

  /// query: [dimension], of unit length within 1e-3.
  QueryCode encode_query(const float* query) const;

 private:
  struct Arrays;

  void encode_row(const float* vector, std::size_t place, Arrays& arrays, float* rotated) const;

  std::size_t dimension_ = 0;
  std::size_t width_ = 0;
  Rotation rotation_{1};
  std::vector<float> mean_;  // [dimension], of a sample
  std::size_t size_ = 0;
  const std::uint8_t* codes_ = nullptr;
  const float* scales_ = nullptr;
  const float* errors_ = nullptr;
  std::shared_ptr<const void> owner_;  // of what the three point to
};

}  // namespace vitrine::index
