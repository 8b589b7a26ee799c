#include "index/exact_search.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <utility>

#include "index/kernels/code_dot.h"
#include "index/kernels/inner_product.h"
#include "index/parallel.h"

namespace vitrine::index {
namespace {

constexpr std::size_t kMostTilePlaces = 64;
/// A tile stays in the first-level cache while a whole group of queries passes over it.
constexpr std::size_t kTileBytes = std::size_t{16} * 1024;
constexpr std::size_t kMostQueriesAGroup = 32;
constexpr std::size_t kPartsAThread = 32;
constexpr float kLeast = -std::numeric_limits<float>::infinity();

std::size_t tile_places(std::size_t width) {
  return std::clamp<std::size_t>(kTileBytes / width, 4, kMostTilePlaces);
}

/// A vector that may be among the k best: its score is at most `most`.
struct Candidate {
  float most;
  std::int32_t place;
};

/// What one query knows of the vectors scanned so far. If k of them score at least `enough()`, no
/// vector that scores less can be a hit.
class alignas(64) Candidates {
 public:
  explicit Candidates(std::size_t k) : least_(k) {}

  float enough() const { return enough_; }
  /// Another thread's share of the vectors may have enough to rule out more of this one's.
  void raise(float enough) { enough_ = std::max(enough_, enough); }

  /// Scores at least `least` and at most `most`.
  void offer(float least, float most, std::int32_t place) {
    candidates_.push_back({most, place});
    least_.offer({least, place});
    if (least_.full()) raise(least_.worst().score);
    if (candidates_.size() >= next_pruning_) prune();
  }

  /// Drops what has been ruled out since it was offered.
  void prune() {
    std::erase_if(candidates_, [&](const Candidate& each) { return each.most < enough_; });
    next_pruning_ = 2 * candidates_.size() + kFirstPruning;
  }

  /// What is left; nothing is kept.
  std::vector<Candidate> take() {
    prune();
    return std::move(candidates_);
  }

 private:
  static constexpr std::size_t kFirstPruning = 1024;

  TopK least_;  // the k largest of the scores that vectors have at least
  float enough_ = kLeast;
  std::vector<Candidate> candidates_;
  std::size_t next_pruning_ = kFirstPruning;
};

/// Places [first, first + count), or those of them that are listed.
struct Tile {
  std::size_t first = 0;
  std::size_t count = 0;
  bool all = true;
  std::int32_t places[kMostTilePlaces];  ///< [count], unless all
};

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
    tile.places[tile.count++] = static_cast<std::int32_t>(place);
    if (tile.count < most) return;
    visit(std::as_const(tile));
    tile.count = 0;
  };
  for (const PlaceRange& range : ranges) {
    const std::size_t end = range.first + range.count;
    if (filter.by_place || tables.rows == nullptr) {
      filter.allowed->for_each(range.first, end, add);
    } else {
      for (std::size_t place = range.first; place < end; ++place) {
        if (filter.allowed->contains(static_cast<std::size_t>(tables.rows[place]))) add(place);
      }
    }
  }
  if (tile.count > 0) visit(std::as_const(tile));
}

void scan_tile(const CodeTable& codes, const QueryCode& query, const Tile& tile,
               Candidates& candidates) {
  const CodeDotKernel& kernel = code_dot_kernel();
  const std::size_t width = codes.width();
  std::int32_t high[kMostTilePlaces];
  std::int32_t low[kMostTilePlaces];
  if (tile.all) {
    const std::uint8_t* first = codes.codes() + tile.first * width;
    kernel.contiguous(query.high.data(), query.low.data(), first, tile.count, width, high, low);
  } else {
    kernel.gathered(query.high.data(), codes.codes(), tile.places, tile.count, width, high);
    kernel.gathered(query.low.data(), codes.codes(), tile.places, tile.count, width, low);
  }
  float scores[kMostTilePlaces];
  float errors[kMostTilePlaces];
  if (tile.all) {
    const float* tile_scales = codes.scales() + tile.first;
    const float* tile_errors = codes.errors() + tile.first;
    for (std::size_t i = 0; i < tile.count; ++i) {
      scores[i] = query.score(tile_scales[i], high[i], low[i]);
      errors[i] = query.length * tile_errors[i] + query.slack;
    }
  } else {
    for (std::size_t i = 0; i < tile.count; ++i) {
      const auto place = static_cast<std::size_t>(tile.places[i]);
      scores[i] = query.score(codes.scales()[place], high[i], low[i]);
      errors[i] = query.length * codes.errors()[place] + query.slack;
    }
  }
  for (std::size_t i = 0; i < tile.count; ++i) {
    if (scores[i] + errors[i] < candidates.enough()) continue;
    const std::int32_t place =
        tile.all ? static_cast<std::int32_t>(tile.first + i) : tile.places[i];
    candidates.offer(scores[i] - errors[i], scores[i] + errors[i], place);
  }
}

/// Compares in float32 what is left, likeliest first, until nothing more can be a hit.
std::vector<Hit> settle(const SearchTables& tables, const float* query,
                        std::vector<Candidate> candidates, std::size_t k) {
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return a.most > b.most || (a.most == b.most && a.place < b.place);
  });
  const InnerProductKernel& kernel = inner_product_kernel();
  const std::size_t dimension = tables.vectors->dimension();
  constexpr std::size_t kAhead = 8;
  TopK best(k);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (best.full() && candidates[i].most < best.worst().score) break;
    if (i + kAhead < candidates.size()) {
      __builtin_prefetch(
          tables.vectors->at(static_cast<std::size_t>(candidates[i + kAhead].place)));
    }
    const auto place = static_cast<std::size_t>(candidates[i].place);
    best.offer({kernel.pair(query, tables.vectors->at(place), dimension), tables.row_at(place)});
  }
  return best.take();
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

/// One query on all threads: each takes parts of the places, and all go by the best of what any
/// of them knows to be enough.
std::vector<Hit> search_in_parallel(const SearchTables& tables, const float* query,
                                    std::span<const PlaceRange> ranges, const Filter& filter,
                                    std::size_t k, std::size_t places, int threads) {
  const QueryCode code = tables.codes->encode_query(query);
  // Parts enough for a thread that is held up to leave its work to the others.
  const std::size_t parts = static_cast<std::size_t>(threads) * kPartsAThread;
  std::vector<Candidates> found(static_cast<std::size_t>(threads), Candidates(k));
  std::atomic<float> enough{kLeast};
  parallel_for(parts, threads, [&](std::size_t part) {
    const std::vector<PlaceRange> own =
        part_of(ranges, places * part / parts, places * (part + 1) / parts);
    Candidates& candidates = found[static_cast<std::size_t>(omp_get_thread_num())];
    for_each_tile(tables, own, filter, [&](const Tile& tile) {
      candidates.raise(enough.load(std::memory_order_relaxed));
      scan_tile(*tables.codes, code, tile, candidates);
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
  return settle(tables, query, std::move(all), k);
}

}  // namespace

SearchResult make_result(std::size_t queries, std::size_t k) {
  return {queries, k, std::vector<std::int64_t>(queries * k, kNoRow),
          std::vector<float>(queries * k, kLeast)};
}

void put_hits(std::vector<Hit> hits, std::size_t query, SearchResult& result) {
  const std::size_t count = std::min(hits.size(), result.k);
  for (std::size_t i = 0; i < count; ++i) {
    result.rows[query * result.k + i] = hits[i].row;
    result.scores[query * result.k + i] = hits[i].score;
  }
}

std::vector<Hit> search_exactly(const SearchTables& tables, const float* query,
                                std::span<const PlaceRange> ranges, const Filter& filter,
                                std::size_t k) {
  const QueryCode code = tables.codes->encode_query(query);
  Candidates candidates(k);
  for_each_tile(tables, ranges, filter,
                [&](const Tile& tile) { scan_tile(*tables.codes, code, tile, candidates); });
  return settle(tables, query, candidates.take(), k);
}

SearchResult search_exactly(const SearchTables& tables, MatrixView queries,
                            std::span<const PlaceRange> ranges, const Filter& filter,
                            std::size_t k) {
  SearchResult result = make_result(queries.rows, k);
  std::size_t places = 0;
  for (const PlaceRange& range : ranges) places += range.count;
  const int threads = threads_for(queries.rows * places * queries.cols / 4);
  const auto threads_count = static_cast<std::size_t>(threads);
  if (threads > 1 && queries.rows < 2 * threads_count) {
    for (std::size_t query = 0; query < queries.rows; ++query) {
      put_hits(
          search_in_parallel(tables, queries.row(query).data(), ranges, filter, k, places, threads),
          query, result);
    }
    return result;
  }

  // Each thread takes groups of queries through all tiles.
  const std::size_t group_size = std::clamp<std::size_t>(
      (queries.rows + threads_count - 1) / threads_count, 1, kMostQueriesAGroup);
  const std::size_t groups = (queries.rows + group_size - 1) / group_size;
  parallel_for(groups, threads, [&](std::size_t group) {
    const std::size_t first = group * group_size;
    const std::size_t count = std::min(group_size, queries.rows - first);
    std::vector<QueryCode> codes(count);
    std::vector<Candidates> candidates(count, Candidates(k));
    for (std::size_t i = 0; i < count; ++i) {
      codes[i] = tables.codes->encode_query(queries.row(first + i).data());
    }
    for_each_tile(tables, ranges, filter, [&](const Tile& tile) {
      for (std::size_t i = 0; i < count; ++i) {
        scan_tile(*tables.codes, codes[i], tile, candidates[i]);
      }
    });
    for (std::size_t i = 0; i < count; ++i) {
      put_hits(settle(tables, queries.row(first + i).data(), candidates[i].take(), k), first + i,
               result);
    }
  });
  return result;
}

}  // namespace vitrine::index
