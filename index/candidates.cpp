#include "index/candidates.h"

#include "index/kernels/inner_product.h"

namespace vitrine::index {

std::vector<Hit> settle(const SearchTables& tables, const float* query,
                        std::vector<Candidate> candidates, std::size_t k) {
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return a.most > b.most || (a.most == b.most && a.place < b.place);
  });
  const InnerProductKernel& kernel = inner_product_kernel();
  const std::size_t dimension = tables.vectors->dimension();
  // The CPU itself fetches the rest of a long vector.
  constexpr std::size_t kAhead = 8;
  const std::size_t fetched = std::min<std::size_t>(dimension, 128);
  const auto prefetch = [&](const Candidate& candidate) {
    const float* vector = tables.vectors->at(static_cast<std::size_t>(candidate.place));
    for (std::size_t i = 0; i < fetched; i += 16) __builtin_prefetch(vector + i);
  };
  for (std::size_t i = 0; i < std::min(kAhead, candidates.size()); ++i) prefetch(candidates[i]);
  TopK best(k);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (best.full() && candidates[i].most < best.worst().score) break;
    if (i + kAhead < candidates.size()) prefetch(candidates[i + kAhead]);
    const auto place = static_cast<std::size_t>(candidates[i].place);
    best.offer({kernel.pair(query, tables.vectors->at(place), dimension), tables.row_at(place)});
  }
  return best.take();
}

}  // namespace vitrine::index
