#include "base/compute_threads.h"

#include <omp.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

namespace vitrine {

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

void set_background_priority_of_this_thread() {
  // Not the lowest: whoever holds a lock that others need must get on all the same.
  constexpr int kNice = 10;
  const auto thread = static_cast<id_t>(gettid());  // on Linux niceness belongs to a thread
  const int now = getpriority(PRIO_PROCESS, thread);
  setpriority(PRIO_PROCESS, thread, std::max(now, kNice));  // less priority is never refused
}

}  // namespace vitrine
