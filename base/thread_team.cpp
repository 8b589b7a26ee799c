#include "base/thread_team.h"

namespace vitrine {
namespace {

// A team meets again within microseconds while it works: sleeping would cost more than the wait.
// One that has no work for longer gives its core away.
constexpr int kSpins = 4000;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Waits until the value is another one.
void await_change(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadTeam::ThreadTeam(int size) : taken_(static_cast<std::size_t>(size)) {
  threads_.reserve(static_cast<std::size_t>(size - 1));
  try {
    for (int rank = 1; rank < size; ++rank) threads_.emplace_back([this, rank] { serve(rank); });
  } catch (...) {
    stop();
    throw;
  }
}

ThreadTeam::~ThreadTeam() { stop(); }

void ThreadTeam::stop() {
  stopping_.store(true, std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadTeam::run(const std::function<void(int rank)>& work) {
  if (!threads_.empty()) {
    work_ = &work;
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
  }
  work(0);
  barrier();  // nobody uses work any more
}

void ThreadTeam::barrier() {
  if (threads_.empty()) return;
  const std::uint32_t phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size()) {
    arrived_.store(0, std::memory_order_relaxed);
    for (Taken& taken : taken_) taken.from_both_ends.store(0, std::memory_order_relaxed);
    phase_.fetch_add(1, std::memory_order_release);
    phase_.notify_all();
  } else {
    await_change(phase_, phase);
  }
}

int ThreadTeam::take(int rank, int owner, int count) {
  constexpr std::uint64_t kOfOthers = std::uint64_t{1} << 32;
  std::atomic<std::uint64_t>& taken = taken_[static_cast<std::size_t>(owner)].from_both_ends;
  const std::uint64_t before =
      taken.fetch_add(rank == owner ? 1 : kOfOthers, std::memory_order_relaxed);
  const auto by_owner = static_cast<std::int64_t>(before % kOfOthers);
  const auto by_others = static_cast<std::int64_t>(before / kOfOthers);
  if (by_owner + by_others >= count) return -1;
  return static_cast<int>(rank == owner ? by_owner : count - 1 - by_others);
}

void ThreadTeam::serve(int rank) {
  std::uint32_t seen = 0;
  for (;;) {
    await_change(round_, seen);
    ++seen;
    if (stopping_.load(std::memory_order_relaxed)) return;
    (*work_)(rank);
    barrier();
  }
}

}  // namespace vitrine
