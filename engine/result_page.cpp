#include "engine/result_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/text.h"

namespace vitrine::engine {
namespace {

/// The group of each hit, asked for once however often the ranking grows.
class Groups {
 public:
  explicit Groups(const GroupsOf& groups_of) : groups_of_(groups_of) {}

  /// True for the first hit of its group.
  bool is_first(const RankedRow& hit, std::span<const RankedRow> ranking) {
    if (!groups_of_) return true;
    if (!known_.contains(hit.row)) learn(ranking);
    const std::optional<std::string>& group = known_.at(hit.row);
    return !group || seen_.insert(*group).second;
  }
  void start_again() { seen_.clear(); }

 private:
  void learn(std::span<const RankedRow> ranking) {
    std::vector<std::size_t> rows;
    for (const RankedRow& hit : ranking) {
      if (!known_.contains(hit.row)) rows.push_back(hit.row);
    }
    std::vector<std::optional<std::string>> groups = groups_of_(rows);
    for (std::size_t i = 0; i < rows.size(); ++i) known_[rows[i]] = std::move(groups[i]);
  }

  const GroupsOf& groups_of_;
  std::map<std::size_t, std::optional<std::string>> known_;
  std::set<std::string> seen_;
};

/// Up to one hit more than the page has, which says whether there is a next one.
std::vector<RankedRow> select(const PageRequest& request, std::span<const RankedRow> ranking,
                              Groups& groups) {
  std::vector<RankedRow> hits;
  groups.start_again();
  for (const RankedRow& hit : ranking) {
    if (request.min_score && hit.score < *request.min_score) break;
    if (request.without.contains(hit.row) || !groups.is_first(hit, ranking)) continue;
    if (request.after != nullptr && !request.after->is_before(hit, request.generation)) continue;
    hits.push_back(hit);
    if (hits.size() > request.limit) break;
  }
  return hits;
}

}  // namespace

std::string Cursor::to_string() const {
  return fmt::format("{:x}.{:x}.{:x}.{:x}.{:x}", query, generation, row,
                     std::bit_cast<std::uint32_t>(score), rows);
}

Cursor Cursor::parse(std::string_view text) {
  std::array<std::uint64_t, 5> numbers{};
  const char* next = text.data();
  const char* const end = text.data() + text.size();
  bool good = true;
  for (std::size_t i = 0; i < numbers.size() && good; ++i) {
    if (i > 0) good = next != end && *next++ == '.';
    if (!good) break;
    const auto [rest, error] = std::from_chars(next, end, numbers[i], 16);
    good = error == std::errc();
    next = rest;
  }
  const float score = std::bit_cast<float>(static_cast<std::uint32_t>(numbers[3]));
  if (!good || next != end || numbers[3] > 0xffffffff || !std::isfinite(score)) {
    throw invalid_argument(
        fmt::format("the cursor \"{}\" is none; take the \"next_cursor\" of an answer as it is",
                    printable(text)));
  }
  return {numbers[0], numbers[1], static_cast<std::size_t>(numbers[2]), score,
          static_cast<std::size_t>(numbers[4])};
}

std::size_t first_rank(const PageRequest& request, std::size_t max_rank) {
  return std::min(max_rank, request.limit + 1 + request.without.size());
}

Page take_page(const PageRequest& request, std::size_t max_rank, const RankRows& rank,
               const GroupsOf& groups_of) {
  constexpr std::size_t kGrowth = 4;
  Groups groups(groups_of);
  std::size_t k = first_rank(request, max_rank);
  for (;;) {
    const std::vector<RankedRow> ranking = rank(k);
    std::vector<RankedRow> hits = select(request, ranking, groups);
    const bool full = hits.size() > request.limit;
    const bool below =
        request.min_score && !ranking.empty() && ranking.back().score < *request.min_score;
    if (full || below || ranking.size() < k || k == max_rank) {
      if (full) hits.pop_back();
      const bool cut = !full && !below && ranking.size() == max_rank;
      return {std::move(hits), full, cut};
    }
    k = std::min(max_rank, k * kGrowth);
  }
}

}  // namespace vitrine::engine
