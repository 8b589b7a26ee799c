#include "base/cpu_placement.h"

#include <sched.h>

namespace vitrine {

int current_cpu() { return sched_getcpu(); }

void leave_cpus(std::span<const int> taken) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  cpu_set_t others = allowed;
  for (const int cpu : taken) {
    if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_CLR(cpu, &others);
  }
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof(others), &others) != 0) return;
  sched_setaffinity(0, sizeof(allowed), &allowed);
}

}  // namespace vitrine
