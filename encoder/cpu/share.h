#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/thread_team.h"
#include "encoder/cpu/kernels.h"
#include "encoder/cpu/product_rows.h"

namespace vitrine::encoder::cpu {

/// The part of a run that one of several threads does.
struct Share {
  int rank = 0;
  int size = 1;
  ThreadTeam* team = nullptr;  ///< null when size is 1

  /// [begin, end) of n things; all shares together cover them.
  std::pair<int, int> of(int n) const {
    return {static_cast<int>(std::int64_t{n} * rank / size),
            static_cast<int>(std::int64_t{n} * (rank + 1) / size)};
  }
  void barrier() const {
    if (team != nullptr) team->barrier(rank);
  }

  /// Deals out n things in parts of at most `part`: to every share those of of(n), one after
  /// another, and then what others have not begun, for cores are not equally fast at any moment.
  /// Calls work(begin, end, next) for each; the share's next part begins at `next`, or at n where
  /// it was the last. Every share calls it with the same numbers, once between two barriers.
  template <typename Work>
  void take_parts(int n, int part, const Work& work) const {
    if (team == nullptr) {
      work(0, n, n);
      return;
    }
    int gone = 0;  // shares of which no part is left, from this one on
    Part now = take_part(n, part, gone);
    while (now.begin < n) {
      const Part next = take_part(n, part, gone);
      work(now.begin, now.end, next.begin);
      now = next;
    }
  }

  /// The same, calling work(i) for each.
  template <typename Work>
  void take_each(int n, const Work& work, int part = 1) const {
    take_parts(n, part, [&](int begin, int end, int) {
      for (int i = begin; i < end; ++i) work(i);
    });
  }
  /// For what takes a row no longer than dealing it out does, or a few times as long.
  template <typename Work>
  void take_rows(int n, const Work& work) const {
    take_each(n, work, 4);
  }

 private:
  struct Part {
    int begin = 0;
    int end = 0;
  };

  /// Begins at n where no part is left.
  Part take_part(int n, int part, int& gone) const {
    for (; gone < size; ++gone) {
      const Share owner{(rank + gone) % size, size, team};
      const std::pair<int, int> range = owner.of(n);
      const int count = range.second - range.first;
      const int parts = (count + part - 1) / part;
      const int i = team->take(rank, owner.rank, parts);
      if (i < 0) continue;
      const auto begin_of = [&](int j) {
        return range.first + static_cast<int>(std::int64_t{count} * j / parts);
      };
      return {begin_of(i), begin_of(i + 1)};
    }
    return {n, n};
  }
};

/// Deals out what a layer makes of rows [0, rows): in `groups` groups of `group_panels` panels, at
/// most `groups_at_once` of them together, and, where one group takes long, in ranges of its rows
/// as well, for at the barrier all wait for whoever has the last part. rows: at least 1. Calls
/// work(begin, end, range, next) for groups [begin, end) of a range of rows; see
/// Share::take_parts().
template <typename Linear, typename Work>
void take_layer(const Kernels& kernels, const Share& share, const Linear& linear, int rows,
                int groups, int group_panels, int groups_at_once, const Work& work) {
  // About 30 us for a core with AVX-512.
  constexpr std::int64_t kPartProducts = 2'500'000;
  // Bytes of rows that a core's cache keeps from one group to the next, more or less; of a range
  // of rows that it keeps beside all weights.
  constexpr std::int64_t kCachedRows = 2 << 20;
  constexpr std::int64_t kCachedRange = kCachedRows / 4;
  const int block_rows = Linear::block_rows(kernels, rows);
  const int blocks = (rows + block_rows - 1) / block_rows;
  const std::int64_t numbers = std::int64_t{rows} * linear.inputs();
  const std::int64_t products = numbers * group_panels * kPanelColumns;
  const std::int64_t bytes = numbers * static_cast<int>(sizeof(typename Linear::Weight));
  // Rows that come from farther away for every group are taken range by range, the groups in turn.
  const bool by_range = bytes > kCachedRows;
  const int ranges = static_cast<int>(std::min<std::int64_t>(
      blocks, by_range ? (bytes + kCachedRange - 1) / kCachedRange : products / kPartProducts));
  if (ranges <= 1 || groups_at_once > 1 || share.team == nullptr) {
    share.take_parts(groups, groups_at_once, [&](int begin, int end, int next) {
      work(begin, end, RowRange{0, rows}, next);
    });
    return;
  }
  const auto row_of = [&](int range) {
    return std::min(rows, blocks * range / ranges * block_rows);
  };
  const int parts = groups * ranges;
  const auto group_of = [&](int part) {
    return part == parts ? groups : by_range ? part % groups : part / ranges;
  };
  share.take_parts(parts, 1, [&](int part, int, int next) {
    const int group = group_of(part);
    const int range = by_range ? part / groups : part % ranges;
    work(group, group + 1, RowRange{row_of(range), row_of(range + 1)}, group_of(next));
  });
}

/// What the share takes of panels [first_panel, last_panel) of a layer on rows [0, rows) of x; see
/// PackedLinear::multiply(). next: where its part of what is multiplied afterwards begins.
template <typename Linear, typename Finish>
void multiply_shared(const Kernels& kernels, const Share& share, const Linear& linear,
                     const typename Linear::Rows& x, int rows, int first_panel, int last_panel,
                     const typename Linear::Weight* next, const Finish& finish) {
  take_layer(kernels, share, linear, rows, last_panel - first_panel, 1,
             Linear::panels_at_once(kernels, rows),
             [&](int begin, int end, const RowRange& range, int after) {
               const bool last = first_panel + after == last_panel;
               linear.multiply(kernels, x, range, first_panel + begin, first_panel + end,
                               last ? next : linear.panel(first_panel + after), finish);
             });
}

}  // namespace vitrine::encoder::cpu
