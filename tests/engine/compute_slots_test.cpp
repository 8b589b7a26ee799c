#include "engine/compute_slots.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>
#include <thread>
#include <vector>

namespace vitrine::engine {
namespace {

TEST(ComputeSlots, GiveWhoComputesAloneAllThreads) {
  set_compute_threads_of_this_thread(4);
  ComputeSlots slots(4);
  {
    const ComputeSlots::Slot alone(slots);
    EXPECT_EQ(omp_get_max_threads(), 4);
  }
  EXPECT_EQ(omp_get_max_threads(), 4);
  set_compute_threads_of_this_thread(0);
}

TEST(ComputeSlots, GiveWhoSharesTheCoresAShareOfThreads) {
  set_compute_threads_of_this_thread(4);
  ComputeSlots slots(4);
  const ComputeSlots::Slot first(slots);
  std::thread([&] {
    set_compute_threads_of_this_thread(4);
    const ComputeSlots::Slot second(slots);
    EXPECT_EQ(omp_get_max_threads(), 2);
  }).join();
  set_compute_threads_of_this_thread(0);
}

TEST(ComputeSlots, AreNeverMoreThanTheirNumber) {
  constexpr int kSlots = 3;
  ComputeSlots slots(kSlots);
  std::atomic<int> computing{0};
  std::atomic<int> most{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 12; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        const ComputeSlots::Slot slot(slots);
        const int now = ++computing;
        for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
        }
        --computing;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(most, 1);
  EXPECT_LE(most, kSlots);
}

}  // namespace
}  // namespace vitrine::engine
