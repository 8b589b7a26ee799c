#include "index/packed_search.h"

#include <algorithm>
#include <cstdint>

#include "index/candidates.h"
#include "index/exact_search.h"
#include "index/kernels/inner_product.h"
#include "index/kernels/packed_bounds.h"
#include "index/kernels/rank.h"

namespace vitrine::index {
namespace {

/// The best of a few whose places, ascending, are their rows. scores, places: room for kMostRanked.
void put_best(const float* scores, const std::int32_t* places, std::size_t count,
              std::size_t number, SearchResult& result) {
  std::int32_t ranks[kMostRanked];
  rank_kernel().rank(scores, count, ranks);
  // All of them are put in order: which are among the k best cannot be foretold.
  Hit ranked[kMostRanked + 1];
  for (std::size_t i = 0; i < count; i += kRankedTogether) {
    for (std::size_t j = i; j < i + kRankedTogether; ++j) ranked[ranks[j]] = {scores[j], places[j]};
  }
  put_hits({ranked, count}, number, result);
}

}  // namespace

bool can_search_packed(const CodeTable& codes, const Filter& filter, std::size_t k) {
  return !codes.packed().empty() && filter.allowed == nullptr && k <= kMostPackedHits;
}

void search_packed(const SearchTables& tables, const float* query, std::size_t k,
                   std::size_t number, SearchResult& result) {
  const CodeTable& codes = *tables.codes;
  const PackedBoundsKernel& kernel = packed_bounds_kernel();
  const PackedQuery code =
      codes.packed().encode(codes.leading().round_query(query, kernel.most_weight));
  // Few are open, and lie in one page: stores that cross from one to another take very long.
  alignas(kMostRanked * sizeof(std::int32_t)) std::int32_t open[kMostPackedRows + kRankedTogether];
  const std::size_t count = kernel.open(code, codes.packed().rows(), k, open);
  const float* vectors = tables.vectors->contiguous();
  if (vectors != nullptr && tables.rows == nullptr) {
    float scores[kMostPackedRows + kRankedTogether];
    std::fill_n(open + count, kRankedTogether, 0);  // whole sets, the last filled up
    inner_product_kernel().gathered(query, vectors, open, whole_ranked_sets(count),
                                    tables.vectors->dimension(), scores);
    if (count <= kMostRanked) return put_best(scores, open, count, number, result);
    BestHits best(k);
    best.offer(scores, open, count);
    return put_hits(best, number, result);
  }
  BestHits best(k);
  compare_places(tables, query, {open, count}, Nearness::kNear, best);
  put_hits(best, number, result);
}

}  // namespace vitrine::index
