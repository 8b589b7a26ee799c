#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::engine {

/// A row of a catalog and how well it answers a query.
struct RankedRow {
  std::size_t row = 0;
  float score = 0;
};

/// Where a page of hits ended, and of what: the text that a client gives back for the next page.
struct Cursor {
  std::uint64_t query = 0;  ///< a hash of all that decides the order of the hits
  std::uint64_t generation = 0;
  std::size_t row = 0;  ///< of the last hit, and its score
  float score = 0;
  /// Of the generation and its delta together. A row behind them is of a product that came later or
  /// was changed since, and may have been a hit before.
  std::size_t rows = std::numeric_limits<std::size_t>::max();

  std::string to_string() const;
  /// Throws InvalidArgument when the text is not what to_string() writes.
  static Cursor parse(std::string_view text);

  /// Whether a hit of the generation comes later. Rows of two generations are not comparable: among
  /// equal scores of another generation nothing comes later, so that no hit comes twice.
  bool is_before(const RankedRow& hit, std::uint64_t hit_generation) const {
    return hit.score < score ||
           (hit.score == score && hit_generation == generation && hit.row > row && hit.row < rows);
  }
};

/// Which of the ranked hits make a page.
struct PageRequest {
  std::size_t limit = 10;          ///< at least 1
  std::optional<float> min_score;  ///< hits below are none
  const Cursor* after = nullptr;   ///< null: the first page
  std::uint64_t generation = 0;    ///< of the rows
  std::set<std::size_t> without;   ///< rows that are never hits
};

struct Page {
  std::vector<RankedRow> hits;
  bool more = false;  ///< whether a hit follows, as far as the ranking reaches
  bool cut = false;   ///< whether the ranking ended at max_rank, beyond which hits may follow
};

/// The k best rows, best first, equal scores by ascending row; fewer when there are no more.
using RankRows = std::function<std::vector<RankedRow>(std::size_t k)>;
/// For each row the group that it is in; absent: in none, so that it never gives way to another.
using GroupsOf =
    std::function<std::vector<std::optional<std::string>>(std::span<const std::size_t> rows)>;

/// How many ranked rows a page begins with.
std::size_t first_rank(const PageRequest& request, std::size_t max_rank);

/// Asks for first_rank() rows, then for as many ranked rows as it takes to fill the page, at most
/// max_rank. With groups_of only the best hit of each group counts, also across pages.
Page take_page(const PageRequest& request, std::size_t max_rank, const RankRows& rank,
               const GroupsOf& groups_of = {});

}  // namespace vitrine::engine
