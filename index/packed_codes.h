#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "index/kernels/packed_bounds.h"
#include "index/large_array.h"
#include "index/leading_codes.h"

namespace vitrine::index {

/// The leading codes of few vectors once more, packed: a register has the same elements of many
/// vectors, so that no product has to be summed up across its lanes.
///
/// A row's bound has three terms that depend on the query (RoundedQuery). Here they are one number,
/// for a query of the greatest length which has as much rest and loses as much to steps as vectors
/// themselves do:
///   rest * rest(x) <= usual * rest(x) + (rest - usual) * longest
/// of which the last term counts where it is positive; lost * |s| likewise.
/// Immutable; any thread may read.
class PackedCodes {
 public:
  /// None: empty().
  PackedCodes() = default;
  /// None where the vectors, size of them, are too many or have no leading codes. mean: theirs.
  PackedCodes(const LeadingCodes& leading, std::size_t size, const std::vector<float>& mean);

  bool empty() const { return rows_.count == 0; }
  std::size_t heap_bytes() const { return empty() ? 0 : blocks_->size() * sizeof(PackedBlock); }
  /// By place.
  const PackedRows& rows() const { return rows_; }
  /// query: by the leading codes that these are, with the weights of packed_bounds_kernel().
  PackedQuery encode(const RoundedQuery& query) const;

 private:
  PackedRows rows_;
  double usual_rest_ = 0;
  double longest_rest_ = 0;
  double usual_lost_ = 0;
  double longest_ = 0;                                     // |s| of any row, at most
  std::shared_ptr<const LargeArray<PackedBlock>> blocks_;  // that they point to
};

}  // namespace vitrine::index
