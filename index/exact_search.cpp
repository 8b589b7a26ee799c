#include "index/exact_search.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <limits>
#include <utility>

#include "index/candidates.h"
#include "index/cap_search.h"
#include "index/packed_search.h"
#include "index/parallel.h"
#include "index/tile_scan.h"

namespace vitrine::index {
namespace {

/// A tile stays in the first-level cache while a whole group of queries passes over it.
constexpr std::size_t kTileBytes = std::size_t{16} * 1024;
constexpr std::size_t kMostQueriesAGroup = 32;
constexpr std::size_t kMostPartsAThread = 32;
/// A part begins with memory that nobody has fetched ahead.
constexpr std::size_t kLeastPlacesAPart = 4096;
/// Picking a vector takes about as long as comparing so many that lie one behind another.
constexpr std::size_t kPicking = 4;
constexpr float kLeast = -std::numeric_limits<float>::infinity();

std::size_t tile_places(std::size_t width) {
  return std::clamp<std::size_t>(kTileBytes / width, 4, kMostTilePlaces);
}

/// Calls visit with each tile of the ranges that has a place let through.
template <class Visit>
void for_each_tile(const SearchTables& tables, std::span<const PlaceRange> ranges,
                   const Filter& filter, Visit visit) {
  const std::size_t most = tile_places(tables.codes->width());
  Tile tile;
  if (filter.allowed == nullptr) {
    for (const PlaceRange& range : ranges) {
      for (std::size_t done = 0; done < range.count; done += tile.count) {
        tile.first = range.first + done;
        tile.count = std::min(most, range.count - done);
        visit(std::as_const(tile));
      }
    }
    return;
  }
  tile.all = false;
  const auto add = [&](std::size_t place) {
    tables.codes->prefetch_upper(place);
    tile.places[tile.count++] = static_cast<std::int32_t>(place);
    if (tile.count < most) return;
    visit(std::as_const(tile));
    tile.count = 0;
  };
  Tile dense;
  for (const PlaceRange& range : ranges) {
    const std::size_t end = range.first + range.count;
    if (filter.by_place || tables.rows == nullptr) {
      filter.allowed->for_each_word(
          range.first, end, [&](std::size_t first, std::size_t count, std::uint64_t members) {
            // Where many places are let through, comparing all is cheaper than picking those.
            if (static_cast<std::size_t>(std::popcount(members)) * kPicking < count) {
              for (; members != 0; members &= members - 1) {
                add(first + static_cast<std::size_t>(std::countr_zero(members)));
              }
              return;
            }
            for (std::size_t done = 0; done < count; done += dense.count) {
              dense.first = first + done;
              dense.count = std::min(most, count - done);
              dense.hits = members >> done;
              visit(std::as_const(dense));
            }
          });
    } else {
      for (std::size_t place = range.first; place < end; ++place) {
        if (filter.lets_through(tables, place)) add(place);
      }
    }
  }
  if (tile.count > 0) visit(std::as_const(tile));
}

std::size_t places_in(std::span<const PlaceRange> ranges) {
  std::size_t places = 0;
  for (const PlaceRange& range : ranges) places += range.count;
  return places;
}

/// Places of the ranges from the first-th to the last-th, counted through all of them.
std::vector<PlaceRange> part_of(std::span<const PlaceRange> ranges, std::size_t first,
                                std::size_t last) {
  std::vector<PlaceRange> part;
  std::size_t passed = 0;
  for (const PlaceRange& range : ranges) {
    const std::size_t begin = std::clamp(first, passed, passed + range.count);
    const std::size_t end = std::clamp(last, passed, passed + range.count);
    if (begin < end) part.push_back({range.first + (begin - passed), end - begin});
    passed += range.count;
  }
  return part;
}

/// Queries that are answered together, and where.
struct Batch {
  const SearchTables& tables;
  const MatrixView& queries;
  std::span<const PlaceRange> ranges;
  const Filter& filter;
  std::size_t k;
  std::size_t places;   // in the ranges
  std::size_t threads;  // that all the work is worth

  const float* query(std::size_t number) const { return queries.row(number).data(); }
  /// Whether threads have less to wait for each other if each query takes all of them.
  bool has_few_queries() const { return queries.rows < 2 * threads; }
};

/// One query on all threads: each takes parts of the places, and all go by the best of what any
/// of them knows to be enough.
std::vector<Hit> search_in_parallel(const Batch& batch, const float* query) {
  const CodeTable& codes = *batch.tables.codes;
  QueryCode code;
  codes.encode_query_for_scan(query, code);
  // Parts enough for a thread that is held up to leave its work to the others.
  const std::size_t parts = std::clamp(batch.places / kLeastPlacesAPart, batch.threads,
                                       batch.threads * kMostPartsAThread);
  std::vector<Candidates> found(batch.threads, Candidates(batch.k));
  std::atomic<float> enough{kLeast};
  parallel_for(parts, static_cast<int>(batch.threads), [&](std::size_t part) {
    const std::vector<PlaceRange> own =
        part_of(batch.ranges, batch.places * part / parts, batch.places * (part + 1) / parts);
    Candidates& candidates = found[static_cast<std::size_t>(omp_get_thread_num())];
    for_each_tile(batch.tables, own, batch.filter, [&](const Tile& tile) {
      candidates.raise(enough.load(std::memory_order_relaxed));
      scan_tile(codes, code, tile, candidates);
      float known = enough.load(std::memory_order_relaxed);
      while (known < candidates.enough() &&
             !enough.compare_exchange_weak(known, candidates.enough(), std::memory_order_relaxed)) {
      }
    });
  });
  std::vector<Candidate> all;
  for (Candidates& each : found) {
    each.raise(enough);
    const std::vector<Candidate> share = each.take();
    all.insert(all.end(), share.begin(), share.end());
  }
  return settle(batch.tables, query, all, batch.k);
}

void search_alone(const Batch& batch, std::size_t number, SearchResult& result) {
  const float* query = batch.query(number);
  put_hits(batch.threads > 1
               ? search_in_parallel(batch, query)
               : search_exactly(batch.tables, query, batch.ranges, batch.filter, batch.k),
           number, result);
}

void search_all_packed(const Batch& batch, SearchResult& result) {
  parallel_for(batch.queries.rows, static_cast<int>(batch.threads), [&](std::size_t number) {
    search_packed(batch.tables, batch.query(number), batch.k, number, result);
  });
}

/// Where caps rule out too little, the query scans all places.
void search_all_by_caps(const Batch& batch, SearchResult& result) {
  std::vector<std::uint8_t> open(batch.queries.rows, 0);
  const std::size_t threads = batch.has_few_queries() ? 1 : batch.threads;
  parallel_for(batch.queries.rows, static_cast<int>(threads), [&](std::size_t number) {
    const auto hits = search_caps(batch.tables, batch.query(number), batch.filter, batch.k);
    open[number] = hits ? 0 : 1;
    if (hits) put_hits(*hits, number, result);
  });
  for (std::size_t number = 0; number < open.size(); ++number) {
    if (open[number] != 0) search_alone(batch, number, result);
  }
}

/// Takes a group of queries through all tiles, on the calling thread.
void search_group(const Batch& batch, std::size_t first, std::size_t count, SearchResult& result) {
  const CodeTable& table = *batch.tables.codes;
  std::vector<QueryCode> codes(count);
  std::vector<Candidates> candidates(count, Candidates(batch.k));
  for (std::size_t i = 0; i < count; ++i) {
    table.encode_query_for_scan(batch.query(first + i), codes[i]);
  }
  for_each_tile(batch.tables, batch.ranges, batch.filter, [&](const Tile& tile) {
    for (std::size_t i = 0; i < count; ++i) scan_tile(table, codes[i], tile, candidates[i]);
  });
  for (std::size_t i = 0; i < count; ++i) {
    put_hits(settle(batch.tables, batch.query(first + i), candidates[i].take(), batch.k), first + i,
             result);
  }
}

void search_in_groups(const Batch& batch, SearchResult& result) {
  const std::size_t queries = batch.queries.rows;
  const std::size_t group_size =
      std::clamp<std::size_t>((queries + batch.threads - 1) / batch.threads, 1, kMostQueriesAGroup);
  const std::size_t groups = (queries + group_size - 1) / group_size;
  parallel_for(groups, static_cast<int>(batch.threads), [&](std::size_t group) {
    const std::size_t first = group * group_size;
    search_group(batch, first, std::min(group_size, queries - first), result);
  });
}

}  // namespace

void reset(std::size_t queries, std::size_t k, SearchResult& result) {
  result.queries = queries;
  result.k = k;
  result.rows.assign(queries * k, kNoRow);
  result.scores.assign(queries * k, kLeast);
}

SearchResult make_result(std::size_t queries, std::size_t k) {
  SearchResult result;
  reset(queries, k, result);
  return result;
}

void put_hits(std::span<const Hit> hits, std::size_t query, SearchResult& result) {
  const std::size_t count = std::min(hits.size(), result.k);
  for (std::size_t i = 0; i < count; ++i) {
    result.rows[query * result.k + i] = hits[i].row;
    result.scores[query * result.k + i] = hits[i].score;
  }
}

void put_hits(BestHits& best, std::size_t query, SearchResult& result) {
  best.take(result.rows.data() + query * result.k, result.scores.data() + query * result.k);
}

std::vector<Hit> search_exactly(const SearchTables& tables, const float* query,
                                std::span<const PlaceRange> ranges, const Filter& filter,
                                std::size_t k) {
  QueryCode code;
  tables.codes->encode_query_for_scan(query, code);
  return search_exactly(tables, query, code, ranges, filter, k, kLeast);
}

std::vector<Hit> search_exactly(const SearchTables& tables, const float* query,
                                const QueryCode& code, std::span<const PlaceRange> ranges,
                                const Filter& filter, std::size_t k, float at_least) {
  Candidates candidates(k);
  candidates.raise(at_least);
  for_each_tile(tables, ranges, filter,
                [&](const Tile& tile) { scan_tile(*tables.codes, code, tile, candidates); });
  return settle(tables, query, candidates.take(), k);
}

std::vector<Hit> best_of_scored(const SearchTables& tables, const float* query,
                                std::span<const Hit> scored, std::span<const float> errors,
                                std::size_t k) {
  // The first k score at least so much: what may not reach it is not among the k best.
  float enough = std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < std::min(k, scored.size()); ++i) {
    enough = std::min(enough, scored[i].score - errors[i]);
  }
  std::vector<std::int32_t> places;
  places.reserve(scored.size());
  for (std::size_t i = 0; i < scored.size(); ++i) {
    if (scored[i].score + errors[i] < enough) continue;
    places.push_back(static_cast<std::int32_t>(scored[i].row));
  }
  BestHits best(k);
  compare_places(tables, query, places, Nearness::kFar, best);
  return best.take();
}

void search_exactly(const SearchTables& tables, const MatrixView& queries,
                    std::span<const PlaceRange> ranges, const Filter& filter,
                    SearchResult& result) {
  const std::size_t k = result.k;
  const std::size_t places = places_in(ranges);
  const int threads = threads_for_codes(queries.rows * places, queries.cols);
  const Batch batch{tables, queries, ranges, filter, k, places, static_cast<std::size_t>(threads)};
  const bool all = places == tables.codes->size();
  if (all && can_search_packed(*tables.codes, filter, k)) {
    search_all_packed(batch, result);
  } else if (all && caps_are_worth(*tables.codes, filter, k)) {
    search_all_by_caps(batch, result);
  } else if (threads > 1 && batch.has_few_queries()) {
    for (std::size_t i = 0; i < queries.rows; ++i) search_alone(batch, i, result);
  } else {
    search_in_groups(batch, result);
  }
}

}  // namespace vitrine::index
