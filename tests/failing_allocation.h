#pragma once

#include <cstddef>

namespace vitrine {

/// Lets one allocation of the program's own code fail, the n-th from now on, for as long as this
/// lives. Shared libraries' do not: many of them end the process. One at a time.
class FailingAllocation {
 public:
  /// Whose allocations count.
  enum class Of { kThisThread, kAllThreads };

  /// number: from 1. at_least: smaller ones do not count, in bytes.
  FailingAllocation(Of whose, long number, std::size_t at_least = 0);
  ~FailingAllocation();
  FailingAllocation(const FailingAllocation&) = delete;
  FailingAllocation& operator=(const FailingAllocation&) = delete;
};

}  // namespace vitrine
