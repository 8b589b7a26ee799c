#include "encoder/cpu/share.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "encoder/cpu/linear.h"

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

/// Of a layer, only what take_layer() asks.
struct Layer {
  using Weight = float;
  int depth = 0;
  int inputs() const { return depth; }
  static int block_rows(const Kernels& /*kernels*/, int rows) { return even_block_rows(rows); }
};

TEST(Share, TakesEveryRowOfEveryGroupOfALayerOnce) {
  const Kernels& set = kernels(KernelSet::kPortable);
  constexpr int kGroups = 5;
  ThreadTeam team(3);
  for (const int rows : {1, 49, 100, 500}) {
    for (const int depth : {32, 768, 4096}) {
      std::vector<std::atomic<int>> taken(static_cast<std::size_t>(kGroups * rows));
      std::atomic<int> mistakes = 0, ranges = 0;
      team.run([&](int rank) {
        const Share share{rank, team.size(), &team};
        int expected = -1;
        take_layer(set, share, Layer{depth}, rows, kGroups, 1, 1,
                   [&](int begin, int end, const RowRange& range, int next) {
                     ++ranges;
                     if (end != begin + 1 || range.begin >= range.end || range.end > rows) {
                       ++mistakes;
                     }
                     if (expected >= 0 && begin != expected) ++mistakes;
                     expected = next;
                     for (int row = range.begin; row < range.end; ++row) {
                       ++taken[static_cast<std::size_t>(begin * rows + row)];
                     }
                   });
        if (expected >= 0 && expected != kGroups) ++mistakes;
      });
      EXPECT_EQ(mistakes, 0) << rows << " rows of " << depth;
      for (const std::atomic<int>& count : taken) EXPECT_EQ(count, 1);
      // What takes long is dealt out in more parts than there are groups.
      if (rows == 500 && depth == 4096) {
        EXPECT_GT(ranges, 2 * kGroups);
      }
      if (rows == 1) {
        EXPECT_EQ(ranges, kGroups);
      }
    }
  }
}

}  // namespace
}  // namespace vitrine::encoder::cpu
