#pragma once

#include <functional>

namespace vitrine {

/// LibTorch, FAISS and OpenBLAS take their parallelism from OpenMP, whose thread count is a
/// property of the calling thread. This is the one place that sets it: each thread of ours that
/// computes calls it once, so that all of them together never oversubscribe the cores.
/// threads: at least 1; 0 means available_cores().
void set_compute_threads_of_this_thread(int threads);

/// Gives the calling thread fewer of them for as long as it lives, never more.
class FewerComputeThreads {
 public:
  /// most: at least 1.
  explicit FewerComputeThreads(int most);
  ~FewerComputeThreads();
  FewerComputeThreads(const FewerComputeThreads&) = delete;
  FewerComputeThreads& operator=(const FewerComputeThreads&) = delete;

 private:
  int before_;
};

/// How far work that nobody waits for gives way to the threads of others.
enum class BackgroundPriority {
  kLow,   ///< gets about a tenth of a core that they want, and all of one that is idle
  kIdle,  ///< gets what they leave: next to nothing where they want every core
};

/// Runs the work on a thread of its own, of this priority and with so many compute threads (as
/// above), waits for its end, and throws what it throws. Threads that the work starts have the same
/// priority. It should hold no lock for long that others wait for.
void run_in_background(BackgroundPriority priority, int threads, const std::function<void()>& work);

/// For work that may be long and in the background, to call between any two small pieces of it. A
/// thread of priority kIdle that has computed for half a millisecond sleeps for a moment; any other
/// goes on at once. Being preempted is not enough: a core that has nothing to run takes over a
/// thread that waits for another core at once, one that has an idle thread to run does so at a tick
/// of Linux's clock, up to 4 ms later.
void give_way();

/// Cores this process may run on, and use all the time: no more than the quota of its control group
/// (container), rounded down. At least 1.
int available_cores();

}  // namespace vitrine
