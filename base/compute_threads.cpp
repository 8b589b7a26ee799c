#include "base/compute_threads.h"

#include <omp.h>
#include <sched.h>

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

}  // namespace vitrine
