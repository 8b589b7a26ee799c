#include "base/thread_team.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <array>
#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

#include "base/compute_threads.h"
#include "base/cpu_placement.h"

namespace vitrine {
namespace {

TEST(ThreadTeam, CallsEveryRankOnceARun) {
  for (const int size : {1, 2, 5}) {
    ThreadTeam team(size);
    EXPECT_EQ(team.size(), size);
    std::vector<int> calls(static_cast<std::size_t>(size));
    for (int run = 0; run < 50; ++run) {
      team.run([&](int rank) { ++calls[static_cast<std::size_t>(rank)]; });
    }
    EXPECT_EQ(calls, std::vector<int>(static_cast<std::size_t>(size), 50));
  }
}

TEST(ThreadTeam, SeesAtABarrierWhatTheOthersWrote) {
  constexpr int kSize = 4;
  constexpr int kSteps = 200;
  ThreadTeam team(kSize);
  std::vector<int> values(kSize);
  std::vector<int> mistakes(kSize);
  team.run([&](int rank) {
    const auto own = static_cast<std::size_t>(rank);
    for (int step = 1; step <= kSteps; ++step) {
      values[own] = step * (rank + 1);
      team.barrier(rank);
      const int sum = std::accumulate(values.begin(), values.end(), 0);
      if (sum != step * kSize * (kSize + 1) / 2) ++mistakes[own];
      team.barrier(rank);
    }
  });
  EXPECT_EQ(mistakes, std::vector<int>(kSize, 0));
}

TEST(ThreadTeam, DealsOutEveryNumberOnceBetweenTwoBarriers) {
  constexpr int kSize = 3;
  constexpr int kCounts[kSize] = {0, 1, 7};
  ThreadTeam team(kSize);
  for (int run = 0; run < 20; ++run) {
    std::array<std::array<std::atomic<int>, 7>, kSize> taken{};
    std::atomic<int> disorders = 0;
    constexpr int kRounds = 10;
    team.run([&](int rank) {
      for (int round = 0; round < kRounds; ++round) {
        for (int i = 0; i < kSize; ++i) {
          const int owner = (rank + i) % kSize;
          int last = rank == owner ? -1 : kCounts[owner];
          for (int number; (number = team.take(rank, owner, kCounts[owner])) >= 0; last = number) {
            if (rank == owner ? number <= last : number >= last) ++disorders;
            ++taken[static_cast<std::size_t>(owner)][static_cast<std::size_t>(number)];
          }
        }
        team.barrier(rank);
      }
    });
    EXPECT_EQ(disorders, 0);
    for (int owner = 0; owner < kSize; ++owner) {
      for (int number = 0; number < 7; ++number) {
        EXPECT_EQ(taken[static_cast<std::size_t>(owner)][static_cast<std::size_t>(number)],
                  number < kCounts[owner] ? kRounds : 0);
      }
    }
  }
}

// Whoever has done with its own numbers goes on with those of who has not.
TEST(ThreadTeam, HelpsWhoIsSlow) {
  constexpr int kCount = 4;
  ThreadTeam team(2);
  std::atomic<bool> begun = false;
  std::atomic<bool> done = false;
  std::vector<int> helped;
  team.run([&](int rank) {
    if (rank == 0) {
      EXPECT_EQ(team.take(0, 0, kCount), 0);
      begun = true;
      while (!done) std::this_thread::yield();
      EXPECT_EQ(team.take(0, 0, kCount), -1);
    } else {
      while (!begun) std::this_thread::yield();
      for (int i = 0; i < kCount; ++i) EXPECT_EQ(team.take(1, 1, kCount), i);
      EXPECT_EQ(team.take(1, 1, kCount), -1);
      for (int number; (number = team.take(1, 0, kCount)) >= 0;) helped.push_back(number);
      done = true;
    }
  });
  EXPECT_EQ(helped, (std::vector<int>{3, 2, 1}));
}

TEST(ThreadTeam, KnowsHowLongItsRanksWaited) {
  constexpr std::chrono::milliseconds kLate{200};
  ThreadTeam team(3);
  std::atomic<int> early = 0;
  team.run([&](int rank) {
    if (rank == 1) {
      while (early < 2) std::this_thread::yield();
      std::this_thread::sleep_for(kLate);
    } else {
      ++early;
    }
    team.barrier(rank);
  });
  // Two ranks waited; either may have been without a core for some of that time.
  EXPECT_GE(team.waited(), kLate);
  team.run([](int) {});
  EXPECT_LT(team.waited(), kLate);
  ThreadTeam alone(1);
  alone.run([](int) {});
  EXPECT_EQ(alone.waited(), std::chrono::milliseconds(0));
}

// Threads that share a CPU are not worth more than one: whoever notices leaves.
TEST(ThreadTeam, SpreadsOverTheCpus) {
  if (available_cores() < 2) GTEST_SKIP() << "needs two cores";
  ThreadTeam team(2);
  const int here = current_cpu();
  std::array<std::atomic<int>, 2> cpus{};
  // The system moves threads as it likes: not each time, but at least once in a hundred.
  for (int i = 0; i < 100; ++i) {
    team.run([&](int rank) {
      cpu_set_t before, one;
      sched_getaffinity(0, sizeof(before), &before);
      CPU_ZERO(&one);
      CPU_SET(here, &one);
      sched_setaffinity(0, sizeof(one), &one);
      sched_setaffinity(0, sizeof(before), &before);
      team.barrier(rank);
      cpus[static_cast<std::size_t>(rank)] = current_cpu();
    });
    if (cpus[0] != cpus[1]) return;
  }
  FAIL() << "both ranks stay on CPU " << here;
}

TEST(ThreadTeam, RunsForDifferentCallersInTurn) {
  ThreadTeam team(3);
  int sum = 0;
  for (int i = 0; i < 3; ++i) {
    std::thread([&] {
      std::vector<int> parts(3);
      team.run([&](int rank) { parts[static_cast<std::size_t>(rank)] = rank; });
      sum += std::accumulate(parts.begin(), parts.end(), 0);
    }).join();
  }
  EXPECT_EQ(sum, 9);
}

}  // namespace
}  // namespace vitrine
