#include "encoder/cpu/share.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace vitrine::encoder::cpu {
namespace {

TEST(Share, AloneTakesAllAtOnce) {
  std::vector<std::vector<int>> calls;
  Share{}.take_parts(5, 2, [&](int begin, int end, int next) {
    calls.push_back({begin, end, next});
  });
  EXPECT_EQ(calls, (std::vector<std::vector<int>>{{0, 5, 5}}));
}

TEST(Share, TakesEveryThingOnceWhateverTheTeam) {
  constexpr int kMost = 65;
  for (const int size : {2, 3}) {
    ThreadTeam team(size);
    for (const int n : {0, 1, 2, 16, 17, kMost}) {
      for (const int part : {1, 3, 100}) {
        std::vector<std::atomic<int>> taken(kMost);
        std::atomic<int> mistakes = 0;
        team.run([&](int rank) {
          const Share share{rank, size, &team};
          // The second time everything is there again.
          for (int round = 0; round < 2; ++round) {
            int expected = -1;
            share.take_parts(n, part, [&](int begin, int end, int next) {
              if (begin >= end || end - begin > part) ++mistakes;
              if (expected >= 0 && begin != expected) ++mistakes;
              for (int i = begin; i < end; ++i) ++taken[static_cast<std::size_t>(i)];
              expected = next;
            });
            if (expected >= 0 && expected != n) ++mistakes;
            share.barrier();
          }
        });
        EXPECT_EQ(mistakes, 0) << n << " in parts of " << part << " by " << size;
        for (int i = 0; i < kMost; ++i) {
          EXPECT_EQ(taken[static_cast<std::size_t>(i)], i < n ? 2 : 0);
        }
      }
    }
  }
}

}  // namespace
}  // namespace vitrine::encoder::cpu
