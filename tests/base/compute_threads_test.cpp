#include "base/compute_threads.h"

#include <gtest/gtest.h>
#include <omp.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <thread>

namespace vitrine {
namespace {

int policy_of_this_thread() { return sched_getscheduler(gettid()); }

int niceness_of_this_thread() { return getpriority(PRIO_PROCESS, static_cast<id_t>(gettid())); }

TEST(FewerComputeThreads, AreFewerOnlyWhileItLives) {
  std::thread([] {  // whose compute threads are no other thread's
    set_compute_threads_of_this_thread(4);
    {
      const FewerComputeThreads two(2);
      EXPECT_EQ(omp_get_max_threads(), 2);
      const FewerComputeThreads more(3);
      EXPECT_EQ(omp_get_max_threads(), 2);
    }
    EXPECT_EQ(omp_get_max_threads(), 4);
  })
      .join();
}

TEST(RunInBackground, GivesTheWorkAndItsThreadsTheirPriority) {
  const int policy = policy_of_this_thread();
  const int niceness = niceness_of_this_thread();
  run_in_background(BackgroundPriority::kIdle, 2, [] {
    EXPECT_EQ(policy_of_this_thread(), SCHED_IDLE);
    std::thread([] { EXPECT_EQ(policy_of_this_thread(), SCHED_IDLE); }).join();
  });
  run_in_background(BackgroundPriority::kLow, 3, [&] {
    EXPECT_EQ(omp_get_max_threads(), 3);
    EXPECT_GE(niceness_of_this_thread(), std::max(niceness, 10));
  });
  EXPECT_EQ(policy_of_this_thread(), policy);
  EXPECT_EQ(niceness_of_this_thread(), niceness);
}

/// How often the calling thread has slept or waited.
long waits_of_this_thread() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

/// Processor time of the calling thread, in seconds.
double computed_by_this_thread() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

TEST(GiveWay, MakesIdleWorkSleepAndNoOther) {
  const auto compute = [] {
    const long before = waits_of_this_thread();
    const double began = computed_by_this_thread();
    while (computed_by_this_thread() - began < 0.02) give_way();
    return waits_of_this_thread() - before;
  };
  run_in_background(BackgroundPriority::kIdle, 1, [&] { EXPECT_GE(compute(), 10); });
  run_in_background(BackgroundPriority::kLow, 1, [&] { EXPECT_EQ(compute(), 0); });
  EXPECT_EQ(compute(), 0);
}

TEST(RunInBackground, ThrowsWhatTheWorkThrows) {
  EXPECT_THROW(run_in_background(BackgroundPriority::kLow, 1,
                                 [] { throw std::runtime_error("the work has failed"); }),
               std::runtime_error);
}

}  // namespace
}  // namespace vitrine
