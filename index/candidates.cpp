#include "index/candidates.h"

#include <algorithm>

#include "index/kernels/inner_product.h"

namespace vitrine::index {
namespace {

/// Candidates compared before it is asked whether others still can be hits; k if that is more.
constexpr std::size_t kLeastAtATime = 16;

}  // namespace

void compare_places(const SearchTables& tables, const float* query,
                    std::span<const std::int32_t> places, Nearness nearness, BestHits& best) {
  constexpr std::size_t kAtATime = 16;
  const InnerProductKernel& kernel = inner_product_kernel();
  const VectorTable& vectors = *tables.vectors;
  const float* rows[2][kAtATime];  // those that are compared, and those that are on their way
  const auto fetch = [&](std::size_t first, const float** some) {
    for (std::size_t i = first; i < std::min(first + kAtATime, places.size()); ++i) {
      const auto place = static_cast<std::size_t>(places[i]);
      *some++ = nearness == Nearness::kNear ? vectors.at(place) : vectors.prefetch(place);
    }
  };
  fetch(0, rows[0]);
  for (std::size_t first = 0, turn = 0; first < places.size(); first += kAtATime, turn ^= 1) {
    fetch(first + kAtATime, rows[turn ^ 1]);
    const std::size_t count = std::min(kAtATime, places.size() - first);
    float scores[kAtATime];
    std::int32_t numbers[kAtATime];
    kernel.listed(query, rows[turn], count, vectors.dimension(), scores);
    for (std::size_t i = 0; i < count; ++i) {
      numbers[i] =
          static_cast<std::int32_t>(tables.row_at(static_cast<std::size_t>(places[first + i])));
    }
    best.offer(scores, numbers, count);
  }
}

std::vector<Hit> settle(const SearchTables& tables, const float* query,
                        std::span<const Candidate> candidates, std::size_t k) {
  std::vector<Hit> likeliest;
  likeliest.reserve(candidates.size());
  for (const Candidate& each : candidates) likeliest.push_back({each.most, each.place});
  sort_hits(likeliest);
  BestHits best(k);
  const std::size_t some = std::max(k, kLeastAtATime);
  std::vector<std::int32_t> places;
  places.reserve(some);
  for (std::span<const Hit> left = likeliest; !left.empty();) {
    places.clear();
    for (const Hit& each : left.first(std::min(some, left.size()))) {
      if (best.full() && each.score < best.worst_score()) break;
      places.push_back(static_cast<std::int32_t>(each.row));
    }
    if (places.empty()) break;
    compare_places(tables, query, places, Nearness::kFar, best);
    left = left.subspan(places.size());
  }
  return best.take();
}

}  // namespace vitrine::index
