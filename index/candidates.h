#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "index/best_hits.h"
#include "index/search_tables.h"

namespace vitrine::index {

/// A vector that may be among the k best, and the bounds of its score.
struct Candidate {
  float least;
  float most;
  std::int32_t place;
};

/// What one query knows of the vectors scanned so far. If k of them score at least `enough()`, no
/// vector that scores less can be a hit.
class alignas(64) Candidates {
 public:
  explicit Candidates(std::size_t k) : least_(k) {}

  float enough() const { return enough_; }
  /// Another thread's share of the vectors may have enough to rule out more of this one's.
  void raise(float enough) { enough_ = std::max(enough_, enough); }

  /// Of vectors that were not offered before. Those that are ruled out by now are dropped.
  void offer(std::span<const Candidate> some) {
    for (std::size_t first = 0; first < some.size(); first += kAtATime) {
      float least[kAtATime];
      std::int32_t places[kAtATime];
      const std::size_t count = std::min(kAtATime, some.size() - first);
      for (std::size_t i = 0; i < count; ++i) {
        least[i] = some[first + i].least;
        places[i] = some[first + i].place;
      }
      least_.offer(least, places, count);
    }
    if (least_.full()) raise(least_.worst_score());
    // Which are ruled out by now cannot be foretold: no branch.
    std::size_t count = candidates_.size();
    candidates_.resize(count + some.size());
    for (const Candidate& each : some) {
      candidates_[count] = each;
      count += each.most < enough_ ? 0 : 1;
    }
    candidates_.resize(count);
    if (count >= next_pruning_) prune();
  }

  /// What is left; nothing is kept.
  std::vector<Candidate> take() {
    prune();
    return std::move(candidates_);
  }

 private:
  static constexpr std::size_t kAtATime = 64;
  static constexpr std::size_t kFirstPruning = 1024;

  /// Drops what has been ruled out since it was offered.
  void prune() {
    std::erase_if(candidates_, [&](const Candidate& each) { return each.most < enough_; });
    next_pruning_ = 2 * candidates_.size() + kFirstPruning;
  }

  BestHits least_;  // by the scores that they have at least
  float enough_ = -std::numeric_limits<float>::infinity();
  std::vector<Candidate> candidates_;
  std::size_t next_pruning_ = kFirstPruning;
};

/// Whether the vectors to compare are likely to be near the CPU.
enum class Nearness { kFar, kNear };

/// Compares vectors in float32, and offers them.
void compare_places(const SearchTables& tables, const float* query,
                    std::span<const std::int32_t> places, Nearness nearness, BestHits& best);

/// Compares in float32 what is left, the likeliest first, until nothing more can be a hit. query:
/// [dimension].
std::vector<Hit> settle(const SearchTables& tables, const float* query,
                        std::span<const Candidate> candidates, std::size_t k);

}  // namespace vitrine::index
