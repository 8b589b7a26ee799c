#pragma once

#include <cstddef>
#include <memory>

#include "index/kernels/packed_bounds.h"
#include "index/large_array.h"
#include "index/leading_codes.h"

namespace vitrine::index {

/// The leading codes of few vectors once more, packed: a register has the same elements of many
/// vectors, so that no product has to be summed up across its lanes.
///
/// A row's bound has two terms that depend on the query (RoundedQuery). Here they are one number,
/// for a query of the greatest length and of a usual rest, as much as vectors themselves have of
/// it:
///   length * error + rest * rest(x) <= most * error + usual * rest(x) + (rest - usual) * longest
/// of which the last term counts where it is positive.
/// Immutable; any thread may read.
class PackedCodes {
 public:
  /// None: empty().
  PackedCodes() = default;
  /// None where the vectors, size of them, are too many or have no leading codes.
  PackedCodes(const LeadingCodes& leading, std::size_t size);

  bool empty() const { return rows_.count == 0; }
  /// By place.
  const PackedRows& rows() const { return rows_; }
  /// query: by the leading codes that these are, with the weights of packed_bounds_kernel().
  PackedQuery encode(const RoundedQuery& query) const;

 private:
  PackedRows rows_;
  double usual_rest_ = 0;
  double longest_rest_ = 0;
  std::shared_ptr<const LargeArray<PackedBlock>> blocks_;  // that they point to
};

}  // namespace vitrine::index
