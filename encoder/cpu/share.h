#pragma once

#include <cstdint>
#include <utility>

#include "base/thread_team.h"
#include "encoder/cpu/kernels.h"

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

  /// The same, one by one: calls work(i).
  template <typename Work>
  void take_each(int n, const Work& work) const {
    take_parts(n, 1, [&](int begin, int end, int) {
      for (int i = begin; i < end; ++i) work(i);
    });
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

/// What the share takes of panels [first_panel, last_panel) of a layer on rows [0, rows) of x; see
/// PackedLinear::multiply(). next: where its part of what is multiplied afterwards begins.
template <typename Linear, typename Finish>
void multiply_shared(const Kernels& kernels, const Share& share, const Linear& linear,
                     const typename Linear::Rows& x, int rows, int first_panel, int last_panel,
                     const typename Linear::Weight* next, const Finish& finish) {
  share.take_parts(last_panel - first_panel, Linear::panels_at_once(kernels, rows),
                   [&](int begin, int end, int after) {
                     const bool last = first_panel + after == last_panel;
                     linear.multiply(kernels, x, rows, first_panel + begin, first_panel + end,
                                     last ? next : linear.panel(first_panel + after), finish);
                   });
}

}  // namespace vitrine::encoder::cpu
