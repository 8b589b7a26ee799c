#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace vitrine::engine {

/// Rows of delta and tombstones from which on a catalog of so many live products is merged:
/// merge_size at most, a quarter of the products where that is fewer, but no fewer than 1,000. What
/// waits makes a search slower by its share of the products, and a merge takes as long as there are
/// products; a thousand rows are scanned in less than a request takes. merge_size: not 0.
std::size_t rows_worth_a_merge(std::size_t merge_size, std::size_t products);

/// Rows from which on a merge must not wait for cores that searches leave: four times as many, or
/// half of those at which updates are refused, whichever is fewer. merge_size: 0 where only age
/// begins a merge.
std::size_t rows_of_an_urgent_merge(std::size_t merge_size, std::size_t max_unmerged,
                                    std::size_t products);

/// When the updates of which catalog are merged. Not thread-safe, but for is_urgent().
class MergePolicy {
 public:
  using Clock = std::chrono::steady_clock;

  /// As EngineOptions has them.
  struct Limits {
    std::size_t merge_size = 0;
    std::size_t max_unmerged = 0;
    std::chrono::seconds merge_age{0};
  };

  /// Of a catalog, at one moment.
  struct State {
    std::uint64_t generation = 0;
    std::size_t products = 0;               ///< live ones
    std::size_t unmerged = 0;               ///< rows of delta and tombstones
    std::optional<std::int64_t> oldest_ms;  ///< when the oldest update was made, since the epoch
    bool is_indexing = false;               ///< a merge runs, or a reindex
    bool is_merging_idly = false;           ///< a merge runs on cores that searches leave
  };

  enum class Step {
    kNone,
    kMerge,
    kCancelIdleMerge,  ///< so that it begins anew, at a priority at which it gets on
  };

  explicit MergePolicy(const Limits& limits) : limits_(limits) {}

  /// On cores that searches never leave, a merge at idle priority would not end before those take
  /// far longer, or updates are refused.
  bool is_urgent(std::size_t unmerged, std::size_t products) const;

  /// What is to be done now. A merge of one generation is not asked for again for a minute: one
  /// that failed, on a full disk perhaps, leaves it due. now_ms: since the epoch.
  Step next(const std::string& catalog, const State& state, std::int64_t now_ms,
            Clock::time_point now);

 private:
  bool is_due(const State& state, std::int64_t now_ms) const;

  struct Attempt {
    std::uint64_t generation = 0;
    Clock::time_point not_before;
  };

  const Limits limits_;
  std::map<std::string, Attempt> attempts_;  // the last of each catalog
};

}  // namespace vitrine::engine
