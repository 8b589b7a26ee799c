#include "base/cpu_placement.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <numeric>
#include <thread>
#include <vector>

#include "base/compute_threads.h"

namespace vitrine {
namespace {

cpu_set_t allowed_cpus() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof(allowed), &allowed);
  return allowed;
}

TEST(CpuPlacement, LeavesTheCpuThatItIsOn) {
  if (available_cores() < 2) GTEST_SKIP() << "needs two cores";
  std::thread([] {
    const cpu_set_t before = allowed_cpus();
    // The system may move it back at any moment, but not each time.
    bool left = false;
    for (int i = 0; i < 100 && !left; ++i) {
      const int cpu = current_cpu();
      ASSERT_NE(cpu, kNoCpu);
      leave_cpus(std::vector{cpu, kNoCpu});
      left = current_cpu() != cpu;
    }
    EXPECT_TRUE(left);
    const cpu_set_t after = allowed_cpus();
    EXPECT_TRUE(CPU_EQUAL(&before, &after));
  }).join();
}

TEST(CpuPlacement, StaysWhereNoCpuIsLeft) {
  std::vector<int> all(CPU_SETSIZE);
  std::iota(all.begin(), all.end(), 0);
  const cpu_set_t before = allowed_cpus();
  leave_cpus(all);
  const cpu_set_t after = allowed_cpus();
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

}  // namespace
}  // namespace vitrine
