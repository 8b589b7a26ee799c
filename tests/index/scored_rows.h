#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "index/kernels/hit_keys.h"
#include "index/top_k.h"

namespace vitrine::index {

/// Hits as a Beam and BestHits are offered them. What follows them would be the best of all.
struct ScoredRows {
  explicit ScoredRows(std::span<const Hit> hits)
      : count(hits.size()), scores(hit_keys_room(count), 1e30F), rows(hit_keys_room(count), 0) {
    for (std::size_t i = 0; i < count; ++i) {
      scores[i] = hits[i].score;
      rows[i] = static_cast<std::int32_t>(hits[i].row);
    }
  }

  template <class Taker>
  void offer_to(Taker& taker) const {
    taker.offer(scores.data(), rows.data(), count);
  }

  std::size_t count;
  std::vector<float> scores;
  std::vector<std::int32_t> rows;
};

}  // namespace vitrine::index
