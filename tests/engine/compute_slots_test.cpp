#include "engine/compute_slots.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>
#include <thread>
#include <vector>

namespace vitrine::engine {
namespace {

/// Runs a body on a thread of four compute threads, which belong to a thread.
template <class Body>
void with_four_threads(const Body& body) {
  std::thread([&] {
    set_compute_threads_of_this_thread(4);
    body();
  }).join();
}

TEST(ComputeSlots, GiveWhoComputesAloneAllThreads) {
  ComputeSlots slots(4);
  with_four_threads([&] {
    {
      const ComputeSlots::Slot alone(slots);
      EXPECT_EQ(omp_get_max_threads(), 4);
    }
    EXPECT_EQ(omp_get_max_threads(), 4);
  });
}

TEST(ComputeSlots, GiveWhoSharesTheCoresAShareOfThreads) {
  ComputeSlots slots(4);
  const ComputeSlots::Slot first(slots);
  with_four_threads([&] {
    const ComputeSlots::Slot second(slots);
    EXPECT_EQ(omp_get_max_threads(), 2);
  });
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
