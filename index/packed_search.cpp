#include "index/packed_search.h"

#include <cstdint>

#include "index/candidates.h"
#include "index/exact_search.h"
#include "index/kernels/inner_product.h"
#include "index/kernels/packed_bounds.h"

namespace vitrine::index {

bool can_search_packed(const CodeTable& codes, const Filter& filter, std::size_t k) {
  return !codes.packed().empty() && filter.allowed == nullptr && k <= kMostPackedHits;
}

void search_packed(const SearchTables& tables, const float* query, std::size_t k,
                   std::size_t number, SearchResult& result) {
  const CodeTable& codes = *tables.codes;
  const PackedBoundsKernel& kernel = packed_bounds_kernel();
  const float base = inner_product_kernel().pair(query, codes.mean().data(), codes.mean().size());
  const PackedQuery code =
      codes.packed().encode(codes.leading().round_query(query, base, kernel.most_weight));
  std::int32_t open[kMostPackedRows];
  const std::size_t count = kernel.open(code, codes.packed().rows(), k, open);
  BestHits best(k);
  const float* vectors = tables.vectors->contiguous();
  if (vectors != nullptr && tables.rows == nullptr) {
    float scores[kMostPackedRows];
    inner_product_kernel().gathered(query, vectors, open, count, tables.vectors->dimension(),
                                    scores);
    best.offer(scores, open, count);
  } else {
    compare_places(tables, query, {open, count}, Nearness::kNear, best);
  }
  put_hits(best, number, result);
}

}  // namespace vitrine::index
