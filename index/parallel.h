#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>

#include "base/compute_threads.h"

namespace vitrine::index {

/// Threads worth starting for so many multiply-adds: at most the calling thread's OpenMP threads,
/// and none that would get less work than starting it costs.
inline int threads_for(std::size_t multiply_adds) {
  constexpr std::size_t kWorthAThread = std::size_t{1} << 21;  // about 0.1 ms
  if (multiply_adds < 2 * kWorthAThread) return 1;
  const auto most = static_cast<std::size_t>(std::max(1, omp_get_max_threads()));
  return static_cast<int>(std::clamp<std::size_t>(multiply_adds / kWorthAThread, 1, most));
}

/// The same for so many comparisons with codes. By the clock one takes as long as half so many
/// multiply-adds as there are elements, and a part that does not depend on them.
inline int threads_for_codes(std::size_t comparisons, std::size_t dimension) {
  return threads_for(comparisons * (dimension + 64) / 2);
}

/// Calls body(i) for each i in [0, count) on so many threads, which give way in between. After one
/// call throws no further ones start, and its exception reaches the caller: none may leave an
/// OpenMP region.
template <class Body>
void parallel_for(std::size_t count, int threads, const Body& body) {
  if (threads <= 1 || count <= 1) {
    for (std::size_t i = 0; i < count; ++i) {
      body(i);
      give_way();
    }
    return;
  }
  std::exception_ptr failure;
  std::atomic<bool> failed{false};
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (std::size_t i = 0; i < count; ++i) {
    if (failed.load(std::memory_order_relaxed)) continue;
    try {
      body(i);
      give_way();
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace vitrine::index
