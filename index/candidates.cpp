#include "index/candidates.h"

#include "index/kernels/inner_product.h"

namespace vitrine::index {
namespace {

/// Candidates compared before it is asked whether others still can be hits; k if that is more.
constexpr std::size_t kLeastAtATime = 16;

}  // namespace

void compare_places(const SearchTables& tables, const float* query,
                    std::span<const std::int32_t> places, BestHits& best) {
  constexpr std::size_t kAtATime = 32;
  constexpr std::size_t kAhead = 16;
  // The CPU itself fetches the rest of a long vector.
  constexpr std::size_t kMostFetched = 128;
  const InnerProductKernel& kernel = inner_product_kernel();
  const std::size_t dimension = tables.vectors->dimension();
  const std::size_t fetched = std::min(dimension, kMostFetched);
  const auto vector_at = [&](std::size_t i) {
    return tables.vectors->at(static_cast<std::size_t>(places[i]));
  };
  const auto prefetch = [&](std::size_t i) {
    if (i >= places.size()) return;
    const float* vector = vector_at(i);
    for (std::size_t j = 0; j < fetched; j += 16) __builtin_prefetch(vector + j);
  };
  for (std::size_t i = 0; i < kAhead; ++i) prefetch(i);
  for (std::size_t first = 0; first < places.size(); first += kAtATime) {
    Hit hits[kAtATime];
    const std::size_t count = std::min(kAtATime, places.size() - first);
    for (std::size_t i = 0; i < count; ++i) {
      prefetch(first + i + kAhead);
      hits[i] = {kernel.pair(query, vector_at(first + i), dimension),
                 tables.row_at(static_cast<std::size_t>(places[first + i]))};
    }
    best.offer({hits, count});
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
    compare_places(tables, query, places, best);
    left = left.subspan(places.size());
  }
  return best.take();
}

}  // namespace vitrine::index
