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
  const InnerProductKernel& kernel = inner_product_kernel();
  const std::size_t dimension = tables.vectors->dimension();
  const auto prefetch = [&](std::size_t i) {
    if (i < places.size()) tables.vectors->prefetch(static_cast<std::size_t>(places[i]));
  };
  for (std::size_t i = 0; i < kAhead; ++i) prefetch(i);
  for (std::size_t first = 0; first < places.size(); first += kAtATime) {
    Hit hits[kAtATime];
    const std::size_t count = std::min(kAtATime, places.size() - first);
    for (std::size_t i = 0; i < count; ++i) {
      prefetch(first + i + kAhead);
      const auto place = static_cast<std::size_t>(places[first + i]);
      hits[i] = {kernel.pair(query, tables.vectors->at(place), dimension), tables.row_at(place)};
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
