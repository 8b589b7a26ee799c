#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/cpu_placement.h"

namespace vitrine {

/// A fixed set of threads that work on one thing together and meet at barriers far more often than
/// a pool's tasks could be handed out. One run() at a time; everything else may be called from
/// work.
class ThreadTeam {
 public:
  /// size: threads of a run, the caller of run() included; at least 1. Throws std::system_error
  /// when the system has no more threads.
  explicit ThreadTeam(int size);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int size() const { return static_cast<int>(threads_.size()) + 1; }

  /// Calls work(rank) for every rank in [0, size()), each on its own thread, rank 0 on the
  /// caller's; returns when all have returned. work must not throw.
  void run(const std::function<void(int rank)>& work);

  /// How long the ranks of the last run waited at its barriers, summed up, but for waits of
  /// microseconds. Not beside a run.
  std::chrono::nanoseconds waited() const;

  /// Called by every rank of a run, the same number of times: returns when all have called it.
  void barrier(int rank);

  /// Deals out the numbers [0, count) of rank `owner`, each once: to the owner in ascending order,
  /// to others, who help it, in descending. -1 where all are gone. Called by `rank`; all have
  /// theirs again after a barrier(), until which all calls say the same count.
  int take(int rank, int owner, int count);

 private:
  void serve(int rank);
  void stop();
  void begin(int rank);
  /// Notes on which CPU the rank is, and leaves it where another one is there: Linux puts a thread
  /// that wakes beside the one that woke it while it takes the cores for busy, and leaves it there.
  /// In the middle of a run, where nothing may throw: it needs no memory.
  void take_seat(int rank) noexcept;
  /// Waits until the value is another one, for so long without sleeping. Returns how long it
  /// waited where it slept, else 0.
  std::chrono::nanoseconds await_change(int rank, const std::atomic<std::uint32_t>& value,
                                        std::uint32_t old, std::chrono::microseconds longest_spin);

  std::vector<std::thread> threads_;
  const std::function<void(int)>* work_ = nullptr;  // published by round_
  std::atomic<std::uint32_t> round_{0};
  std::atomic<bool> stopping_{false};

  std::atomic<int> arrived_{0};
  std::atomic<std::uint32_t> phase_{0};

  struct alignas(64) Seat {
    std::atomic<int> cpu{kNoCpu};            // that the rank is on, or slept on
    std::atomic<std::int64_t> waited_ns{0};  // at the barriers of the run
    std::vector<int> taken;                  // what take_seat() finds of all ranks
  };
  std::vector<Seat> seats_;  // of every rank

  /// How many of a rank's numbers are gone since the last barrier: a half for the owner's, a half
  /// for the others'.
  struct alignas(64) Taken {
    std::atomic<std::uint64_t> from_both_ends{0};
  };
  std::vector<Taken> taken_;  // of every rank
};

/// team.run() of what may throw; rethrows the first exception once all have ended.
template <typename Work>
void run_throwing(ThreadTeam& team, const Work& work) {
  std::mutex mutex;
  std::exception_ptr failure;
  team.run([&](int rank) {
    try {
      work(rank);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  });
  if (failure) std::rethrow_exception(failure);
}

}  // namespace vitrine
