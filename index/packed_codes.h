#pragma once

#include <cstddef>
#include <memory>

#include "index/kernels/packed_bounds.h"
#include "index/large_array.h"
#include "index/leading_codes.h"

namespace vitrine::index {

/// The leading codes of few vectors once more, packed: a register has the same elements of many
/// vectors, so that no product has to be summed up across its lanes.
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

 private:
  PackedRows rows_;
  std::shared_ptr<const LargeArray<PackedBlock>> blocks_;  // that they point to
};

}  // namespace vitrine::index
