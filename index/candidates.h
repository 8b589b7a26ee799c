#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "index/search_tables.h"
#include "index/top_k.h"

namespace vitrine::index {

/// A vector that may be among the k best: its score is at most `most`.
struct Candidate {
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

  /// Scores at least `least` and at most `most`.
  void offer(float least, float most, std::int32_t place) {
    candidates_.push_back({most, place});
    least_.offer({least, place});
    if (least_.full()) raise(least_.worst().score);
    if (candidates_.size() >= next_pruning_) prune();
  }

  /// Drops what has been ruled out since it was offered.
  void prune() {
    std::erase_if(candidates_, [&](const Candidate& each) { return each.most < enough_; });
    next_pruning_ = 2 * candidates_.size() + kFirstPruning;
  }

  /// What is left; nothing is kept.
  std::vector<Candidate> take() {
    prune();
    return std::move(candidates_);
  }

 private:
  static constexpr std::size_t kFirstPruning = 1024;

  TopK least_;  // the k largest of the scores that vectors have at least
  float enough_ = -std::numeric_limits<float>::infinity();
  std::vector<Candidate> candidates_;
  std::size_t next_pruning_ = kFirstPruning;
};

/// Compares in float32 what is left, likeliest first, until nothing more can be a hit. query:
/// [dimension].
std::vector<Hit> settle(const SearchTables& tables, const float* query,
                        std::vector<Candidate> candidates, std::size_t k);

}  // namespace vitrine::index
