#include "index/cap_search.h"

#include <algorithm>
#include <bit>
#include <span>

#include "index/candidates.h"
#include "index/largest_first.h"
#include "index/tile_scan.h"

namespace vitrine::index {
namespace {

/// Caps that are scanned before it is known which are reached: the nearest, and more while they
/// hold less than twice k vectors, the worst of the k best of which is not bad.
constexpr std::size_t kNearest = 4;
constexpr std::size_t kVectorsAHit = 2;
/// Where the k best are more than one of so many vectors, or the filter lets through fewer, caps
/// rule out too little.
constexpr std::size_t kWorthCaps = 32;
/// A filter may let through nothing near the query: of more than one of so many caps, the nearest
/// are no help.
constexpr std::size_t kNearestShare = 8;
/// A vector in a cap takes longer than one of a scan from end to end.
constexpr std::size_t kReachedShare = 4;

/// Which of [first, first + count) of the members, at most 64, the filter lets through.
std::uint64_t let_through(const SearchTables& tables, const Filter& filter, std::size_t first,
                          std::size_t count) {
  if (filter.allowed == nullptr) return ~std::uint64_t{0} >> (64 - count);
  std::uint64_t hits = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto place = static_cast<std::size_t>(tables.codes->caps().places()[first + i]);
    hits |= std::uint64_t{filter.lets_through(tables, place)} << i;
  }
  return hits;
}

/// One query's way through the caps, of which none is passed over that may hold a hit.
class CapScan {
 public:
  CapScan(const SearchTables& tables, const float* query, const Filter& filter, std::size_t k)
      : tables_(tables),
        query_(query),
        filter_(filter),
        k_(k),
        candidates_(k),
        cosines_(caps().size()) {
    tables.codes->encode_query_for_scan(query, code_);
    caps().cosines(code_.leading, cosines_.data());
  }

  /// Scans the nearest caps, which hold enough to tell what a hit scores. False when they do not.
  bool scan_nearest() {
    LargestFirst nearest(cosines_);
    for (std::size_t taken = 0; compared_ < kVectorsAHit * k_; taken += kNearest) {
      if ((taken + kNearest) * kNearestShare > caps().size()) return false;
      std::size_t some[kNearest];  // which are fetched together
      for (std::size_t& cap : some) {
        cap = nearest.take();
        caps().prefetch(cap);
      }
      for (const std::size_t cap : some) scan(cap);
    }
    return true;
  }

  /// The other caps that can hold a vector that is better than the k best so far.
  std::vector<std::int32_t> reached() const {
    std::vector<std::int32_t> reached(caps().size());
    reached.resize(
        caps().reached(code_.leading, cosines_.data(), candidates_.enough(), reached.data()));
    return reached;
  }

  void scan_all(std::span<const std::int32_t> some) {
    const auto prefetch = [&](std::size_t i) {
      if (i < some.size()) caps().prefetch(static_cast<std::size_t>(some[i]));
    };
    for (std::size_t i = 0; i < kNearest; ++i) prefetch(i);
    for (std::size_t i = 0; i < some.size(); ++i) {
      prefetch(i + kNearest);
      scan(static_cast<std::size_t>(some[i]));
    }
  }

  std::vector<Hit> take() { return settle(tables_, query_, candidates_.take(), k_); }

 private:
  const Caps& caps() const { return tables_.codes->caps(); }

  void scan(std::size_t cap) {
    const std::size_t end = caps().begin_of(cap + 1);
    Tile tile;
    for (tile.first = caps().begin_of(cap); tile.first < end; tile.first += tile.count) {
      tile.count = std::min(kMostTilePlaces, end - tile.first);
      tile.hits = let_through(tables_, filter_, tile.first, tile.count);
      if (tile.hits == 0) continue;
      compared_ += static_cast<std::size_t>(std::popcount(tile.hits));
      scan_tile(caps().members(), caps().places(), code_.leading, tile, candidates_);
    }
  }

  const SearchTables& tables_;
  const float* query_;
  const Filter& filter_;
  const std::size_t k_;
  QueryCode code_;
  Candidates candidates_;
  std::vector<float> cosines_;  // of the caps that were not scanned
  std::size_t compared_ = 0;    // that the filter lets through
};

}  // namespace

bool caps_are_worth(const CodeTable& codes, const Filter& filter, std::size_t k) {
  return !codes.caps().empty() && k * kWorthCaps <= codes.size() &&
         (filter.allowed == nullptr || filter.allowed->count() * kWorthCaps >= codes.size());
}

std::optional<std::vector<Hit>> search_caps(const SearchTables& tables, const float* query,
                                            const Filter& filter, std::size_t k) {
  CapScan scan(tables, query, filter, k);
  if (!scan.scan_nearest()) return std::nullopt;
  const std::vector<std::int32_t> reached = scan.reached();
  if (reached.size() * kReachedShare > tables.codes->caps().size()) return std::nullopt;
  scan.scan_all(reached);
  return scan.take();
}

}  // namespace vitrine::index
