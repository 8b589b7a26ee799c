#include "engine/merge_policy.h"

#include <algorithm>

namespace vitrine::engine {
namespace {

constexpr std::size_t kLeastRowsWorthAMerge = 1000;
constexpr std::chrono::seconds kRetry{60};

}  // namespace

std::size_t rows_worth_a_merge(std::size_t merge_size, std::size_t products) {
  return std::min(merge_size, std::max(products / 4, kLeastRowsWorthAMerge));
}

std::size_t rows_of_an_urgent_merge(std::size_t merge_size, std::size_t max_unmerged,
                                    std::size_t products) {
  const std::size_t half = (max_unmerged + 1) / 2;
  return merge_size == 0 ? half : std::min(half, 4 * rows_worth_a_merge(merge_size, products));
}

bool MergePolicy::is_urgent(std::size_t unmerged, std::size_t products) const {
  return unmerged >= rows_of_an_urgent_merge(limits_.merge_size, limits_.max_unmerged, products);
}

bool MergePolicy::is_due(const State& state, std::int64_t now_ms) const {
  if (!state.oldest_ms || state.products == 0) return false;
  const bool large = limits_.merge_size > 0 &&
                     state.unmerged >= rows_worth_a_merge(limits_.merge_size, state.products);
  const bool old = limits_.merge_age.count() > 0 &&
                   std::chrono::milliseconds(now_ms - *state.oldest_ms) >= limits_.merge_age;
  return large || old;
}

MergePolicy::Step MergePolicy::next(const std::string& catalog, const State& state,
                                    std::int64_t now_ms, Clock::time_point now) {
  if (state.is_merging_idly && is_urgent(state.unmerged, state.products)) {
    attempts_.erase(catalog);
    return Step::kCancelIdleMerge;
  }
  if (state.is_indexing || !is_due(state, now_ms)) return Step::kNone;
  Attempt& last = attempts_[catalog];
  if (last.generation == state.generation && now < last.not_before) return Step::kNone;
  last = {state.generation, now + kRetry};
  return Step::kMerge;
}

}  // namespace vitrine::engine
