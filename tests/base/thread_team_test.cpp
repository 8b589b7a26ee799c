#include "base/thread_team.h"

#include <gtest/gtest.h>

#include <numeric>

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
      team.barrier();
      const int sum = std::accumulate(values.begin(), values.end(), 0);
      if (sum != step * kSize * (kSize + 1) / 2) ++mistakes[own];
      team.barrier();
    }
  });
  EXPECT_EQ(mistakes, std::vector<int>(kSize, 0));
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
