#include "base/compute_threads.h"

#include <omp.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <thread>

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

}  // namespace

int available_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
    return std::max(1, CPU_COUNT(&allowed));
  }
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void set_compute_threads_of_this_thread(int threads) {
  omp_set_num_threads(threads > 0 ? threads : available_cores());
}

FewerComputeThreads::FewerComputeThreads(int most) : before_(omp_get_max_threads()) {
  omp_set_num_threads(std::min(before_, most));
}

FewerComputeThreads::~FewerComputeThreads() { omp_set_num_threads(before_); }

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
