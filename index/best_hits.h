#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "index/hit_key.h"
#include "index/kernels/hit_keys.h"
#include "index/kernels/sorted_keys.h"
#include "index/top_k.h"

namespace vitrine::index {

/// Keeps the k best of the hits offered to it, as TopK does, but takes many at a time. A few are
/// kept sorted without a branch: whether a hit is among them, and where, cannot be foretold.
class BestHits {
 public:
  /// k: at least 1.
  explicit BestHits(std::size_t k) : k_(k), many_(k) {
    if (is_few()) std::fill_n(keys_.begin(), room(), HitKey::kNone);
  }

  bool full() const { return is_few() ? keys_[k_ - 1] != HitKey::kNone : many_.full(); }
  /// What the k-th best scores. Only when full().
  float worst_score() const {
    return is_few() ? HitKey::score(keys_[k_ - 1]) : many_.worst().score;
  }

  /// scores: [count], numbers. rows: [count], not negative. What follows them up to a multiple of
  /// kHitKeysBlock is read and means nothing.
  void offer(const float* scores, const std::int32_t* rows, std::size_t count) {
    if (!is_few()) {
      for (std::size_t i = 0; i < count; ++i) many_.offer({scores[i], rows[i]});
      return;
    }
    alignas(32) std::int64_t keys[kAtATime];
    for (std::size_t first = 0; first < count; first += kAtATime) {
      const float enough = full() ? worst_score() : -std::numeric_limits<float>::infinity();
      const std::size_t some = hit_keys_kernel().of(
          scores + first, rows + first, std::min(kAtATime, count - first), enough, 0, keys);
      sorted_keys_kernel().insert(keys_.data(), room(), keys, some);
    }
  }

  /// The hits, best first; nothing is kept.
  std::vector<Hit> take() {
    if (!is_few()) return many_.take();
    std::vector<Hit> hits;
    hits.reserve(k_);
    take_each([&](const Hit& hit) { hits.push_back(hit); });
    return hits;
  }

  /// The same. rows, scores: [k], of which what there are no hits for is left as it is.
  void take(std::int64_t* rows, float* scores) {
    const auto put = [&](const Hit& hit) {
      *rows++ = hit.row;
      *scores++ = hit.score;
    };
    if (is_few()) {
      take_each(put);
    } else {
      for (const Hit& hit : many_.take()) put(hit);
    }
  }

 private:
  static constexpr std::size_t kAtATime = 32;

  template <class Visit>
  void take_each(const Visit& visit) {
    for (std::size_t i = 0; i < k_ && keys_[i] != HitKey::kNone; ++i) visit(HitKey::hit(keys_[i]));
    std::fill_n(keys_.begin(), room(), HitKey::kNone);
  }

  /// Whether keys_ has them, or many_.
  bool is_few() const { return k_ <= kMostSortedKeys; }

  /// For k_ keys, and what makes a block of the last.
  std::size_t room() const {
    return (k_ + kSortedKeysBlock - 1) / kSortedKeysBlock * kSortedKeysBlock;
  }

  std::size_t k_;
  std::array<std::int64_t, kMostSortedKeys> keys_;  // [room()], best first
  TopK many_;
};

/// Best first. Their rows fit 31 bits, their scores are numbers.
inline void sort_hits(std::vector<Hit>& hits) {
  if (hits.size() > kMostSortedKeys) return std::sort(hits.begin(), hits.end(), Better());
  std::array<float, kMostSortedKeys> scores = {};
  std::array<std::int32_t, kMostSortedKeys> rows = {};
  for (std::size_t i = 0; i < hits.size(); ++i) {
    scores[i] = hits[i].score;
    rows[i] = static_cast<std::int32_t>(hits[i].row);
  }
  BestHits all(std::max<std::size_t>(hits.size(), 1));
  all.offer(scores.data(), rows.data(), hits.size());
  hits = all.take();
}

}  // namespace vitrine::index
