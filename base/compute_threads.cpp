#include "base/compute_threads.h"

#include <omp.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>

#include "base/cpu_quota.h"

namespace vitrine {
namespace {

/// There is no way back.
void set_priority_of_this_thread(BackgroundPriority priority) {
  // On Linux niceness and policy belong to a thread. Less priority is never refused.
  const pid_t thread = gettid();
  switch (priority) {
    case BackgroundPriority::kLow: {
      constexpr int kNice = 10;
      const int now = getpriority(PRIO_PROCESS, static_cast<id_t>(thread));
      setpriority(PRIO_PROCESS, static_cast<id_t>(thread), std::max(now, kNice));
      return;
    }
    case BackgroundPriority::kIdle: {
      // More than a lower share: whoever wakes gets the core at once, and a core that runs nothing
      // else counts as free.
      const sched_param none{};
      sched_setscheduler(thread, SCHED_IDLE, &none);
      return;
    }
  }
}

/// Processor time of the calling thread.
std::chrono::nanoseconds computed_by_this_thread() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

int available_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  const int cpus = sched_getaffinity(0, sizeof(allowed), &allowed) == 0
                       ? CPU_COUNT(&allowed)
                       : static_cast<int>(std::thread::hardware_concurrency());
  // A group that has used up its time stands still until the next period: better a fraction of a
  // core unused than every thread stopped for most of a tenth of a second.
  const double quota = cpu_quota().value_or(cpus);
  return std::max(1, static_cast<int>(std::min<double>(quota, cpus)));
}

void set_compute_threads_of_this_thread(int threads) {
  omp_set_num_threads(threads > 0 ? threads : available_cores());
}

FewerComputeThreads::FewerComputeThreads(int most) : before_(omp_get_max_threads()) {
  omp_set_num_threads(std::min(before_, most));
}

FewerComputeThreads::~FewerComputeThreads() { omp_set_num_threads(before_); }

void give_way() {
  constexpr std::chrono::microseconds kTurn{500};
  constexpr std::chrono::microseconds kRest{50};
  // A thread has its priority before it works.
  thread_local const bool idle = sched_getscheduler(gettid()) == SCHED_IDLE;
  if (!idle) return;
  thread_local std::chrono::nanoseconds turn_began = computed_by_this_thread();
  if (computed_by_this_thread() - turn_began < kTurn) return;
  std::this_thread::sleep_for(kRest);
  turn_began = computed_by_this_thread();
}

void run_in_background(BackgroundPriority priority, int threads,
                       const std::function<void()>& work) {
  std::exception_ptr failure;
  std::thread([&] {
    try {
      set_priority_of_this_thread(priority);
      set_compute_threads_of_this_thread(threads);
      work();
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace vitrine
