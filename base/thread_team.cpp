#include "base/thread_team.h"

#include <algorithm>

namespace vitrine {
namespace {

using Clock = std::chrono::steady_clock;

// A team meets again within microseconds while it works: sleeping would cost more than the wait. A
// rank that waits longer waits for one that has no core. Between two runs it gives its own away.
constexpr std::chrono::microseconds kLongestSpinAtABarrier{200};
constexpr std::chrono::microseconds kLongestSpinBetweenRuns{30};
constexpr int kSpins = 32;  // between two looks at the clock

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

ThreadTeam::ThreadTeam(int size)
    : seats_(static_cast<std::size_t>(size)), taken_(static_cast<std::size_t>(size)) {
  for (Seat& seat : seats_) seat.taken.resize(seats_.size());
  threads_.reserve(static_cast<std::size_t>(size - 1));
  try {
    for (int rank = 1; rank < size; ++rank) threads_.emplace_back([this, rank] { serve(rank); });
  } catch (...) {
    stop();
    throw;
  }
}

ThreadTeam::~ThreadTeam() { stop(); }

std::chrono::nanoseconds ThreadTeam::waited() const {
  std::chrono::nanoseconds waited{0};
  for (const Seat& seat : seats_) waited += std::chrono::nanoseconds(seat.waited_ns);
  return waited;
}

void ThreadTeam::stop() {
  stopping_.store(true, std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadTeam::run(const std::function<void(int rank)>& work) {
  if (threads_.empty()) {
    work(0);
    return;
  }
  begin(0);
  work_ = &work;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  work(0);
  barrier(0);  // nobody uses work any more
  seats_[0].cpu.store(kNoCpu, std::memory_order_relaxed);
}

void ThreadTeam::begin(int rank) {
  seats_[static_cast<std::size_t>(rank)].waited_ns.store(0, std::memory_order_relaxed);
  take_seat(rank);
}

void ThreadTeam::take_seat(int rank) noexcept {
  const int cpu = current_cpu();
  if (cpu == kNoCpu) return;
  Seat& own = seats_[static_cast<std::size_t>(rank)];
  // Others read it all the time: it is written only where it changes.
  if (own.cpu.load(std::memory_order_relaxed) != cpu) own.cpu.store(cpu, std::memory_order_relaxed);
  const bool shared = std::ranges::any_of(seats_, [&](const Seat& seat) {
    return &seat != &own && seat.cpu.load(std::memory_order_relaxed) == cpu;
  });
  if (!shared) return;
  own.cpu.store(kNoCpu, std::memory_order_relaxed);  // so that not both leave
  std::ranges::transform(seats_, own.taken.begin(),
                         [](const Seat& seat) { return seat.cpu.load(std::memory_order_relaxed); });
  leave_cpus(own.taken);
  own.cpu.store(current_cpu(), std::memory_order_relaxed);
}

std::chrono::nanoseconds ThreadTeam::await_change(int rank, const std::atomic<std::uint32_t>& value,
                                                  std::uint32_t old,
                                                  std::chrono::microseconds longest_spin) {
  const auto start = Clock::now();
  do {
    for (int i = 0; i < kSpins; ++i) {
      if (value.load(std::memory_order_acquire) != old) return {};
      pause();
    }
  } while (Clock::now() - start < longest_spin);
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
  take_seat(rank);
  return Clock::now() - start;
}

void ThreadTeam::barrier(int rank) {
  if (threads_.empty()) return;
  take_seat(rank);
  const std::uint32_t phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size()) {
    arrived_.store(0, std::memory_order_relaxed);
    for (Taken& taken : taken_) taken.from_both_ends.store(0, std::memory_order_relaxed);
    phase_.fetch_add(1, std::memory_order_release);
    phase_.notify_all();
  } else {
    const std::chrono::nanoseconds waited =
        await_change(rank, phase_, phase, kLongestSpinAtABarrier);
    seats_[static_cast<std::size_t>(rank)].waited_ns += waited.count();
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
    await_change(rank, round_, seen, kLongestSpinBetweenRuns);
    ++seen;
    if (stopping_.load(std::memory_order_relaxed)) return;
    begin(rank);
    (*work_)(rank);
    barrier(rank);
  }
}

}  // namespace vitrine
