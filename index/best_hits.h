#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "index/hit_key.h"
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

  /// Their rows fit 31 bits, their scores are numbers.
  void offer(std::span<const Hit> hits) {
    if (!is_few()) {
      for (const Hit& hit : hits) many_.offer(hit);
      return;
    }
    std::int64_t keys[kAtATime];
    while (!hits.empty()) {
      const std::size_t some = std::min(hits.size(), kAtATime);
      std::size_t count = 0;
      for (const Hit& hit : hits.first(some)) {
        keys[count] = HitKey::of(hit);
        count += keys[count] > keys_[k_ - 1] ? 1 : 0;
      }
      sorted_keys_kernel().insert(keys_.data(), room(), keys, count);
      hits = hits.subspan(some);
    }
  }

  /// The hits, best first; nothing is kept.
  std::vector<Hit> take() {
    if (!is_few()) return many_.take();
    std::vector<Hit> hits;
    hits.reserve(k_);
    for (std::size_t i = 0; i < k_ && keys_[i] != HitKey::kNone; ++i) {
      hits.push_back(HitKey::hit(keys_[i]));
    }
    std::fill_n(keys_.begin(), room(), HitKey::kNone);
    return hits;
  }

 private:
  static constexpr std::size_t kAtATime = 32;

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
  BestHits all(std::max<std::size_t>(hits.size(), 1));
  all.offer(hits);
  hits = all.take();
}

}  // namespace vitrine::index
