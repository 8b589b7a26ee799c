#include "index/exact_search.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <limits>
#include <utility>

#include "index/kernels/code_dot.h"
#include "index/kernels/inner_product.h"
#include "index/parallel.h"
#include "index/take_largest.h"

namespace vitrine::index {
namespace {

constexpr std::size_t kMostTilePlaces = kMostReaching;
/// A tile stays in the first-level cache while a whole group of queries passes over it.
constexpr std::size_t kTileBytes = std::size_t{16} * 1024;
constexpr std::size_t kMostQueriesAGroup = 32;
constexpr std::size_t kMostPartsAThread = 32;
/// A part begins with memory that nobody has fetched ahead.
constexpr std::size_t kLeastPlacesAPart = 4096;
/// Picking a vector takes about as long as comparing so many that lie one behind another.
constexpr std::size_t kPicking = 4;
/// Caps that are scanned before it is known which are reached: the nearest.
constexpr std::size_t kNearestCaps = 4;
/// Caps that are fetched ahead.
constexpr std::size_t kCapsAhead = 4;
/// Where the k best are more than one of so many vectors, or fewer than one of so many may be a
/// hit, caps rule out too little.
constexpr std::size_t kWorthCaps = 16;
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

/// Offers places by all bits of their codes: by the query's upper bytes at first, and by its lower
/// ones where those leave it open. upper_high: the products of the codes' upper halves with the
/// query's upper bytes. places: at most kMostTilePlaces.
void offer_places(const CodeTable& codes, const QueryCode& query,
                  std::span<const std::int32_t> places, const std::int32_t* upper_high,
                  Candidates& candidates) {
  const auto multiply = [&](const std::vector<std::int8_t>& weights, const std::uint8_t* halves,
                            std::span<const std::int32_t> some, std::int32_t* products) {
    code_dot_kernel().gathered(weights.data(), halves, some.data(), some.size(), codes.width(),
                               products);
  };
  std::int32_t lower_high[kMostTilePlaces];
  multiply(query.high, codes.lower(), places, lower_high);
  std::int32_t open[kMostTilePlaces];
  std::size_t numbers[kMostTilePlaces];  // of them among the places
  std::size_t count = 0;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto place = static_cast<std::size_t>(places[i]);
    const float score =
        query.finer_score(codes.scales()[place], 16 * upper_high[i] + lower_high[i]);
    open[count] = places[i];
    numbers[count] = i;
    count += score + query.finer_error(codes.errors()[place]) < candidates.enough() ? 0 : 1;
  }
  std::int32_t upper_low[kMostTilePlaces];
  std::int32_t lower_low[kMostTilePlaces];
  multiply(query.low, codes.upper(), {open, count}, upper_low);
  multiply(query.low, codes.lower(), {open, count}, lower_low);
  for (std::size_t i = 0; i < count; ++i) {
    const auto place = static_cast<std::size_t>(open[i]);
    const float score = query.score(codes.scales()[place], upper_high[numbers[i]],
                                    lower_high[numbers[i]], upper_low[i], lower_low[i]);
    const float error = query.length * codes.errors()[place] + query.slack;
    if (score + error < candidates.enough()) continue;
    candidates.offer(score - error, score + error, open[i]);
  }
}

/// Places [first, first + count), or those of them that are listed.
struct Tile {
  std::size_t first = 0;
  std::size_t count = 0;
  bool all = true;
  std::uint64_t hits = ~std::uint64_t{0};  ///< of all: bit i is set where first + i may be a hit
  std::int32_t places[kMostTilePlaces];    ///< [count], unless all
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

/// Of the tile's vectors, those whose scores by one kind of codes leave it open whether they are
/// among the k best: bit i for the i-th. products: [tile.count], of their codes.
std::uint64_t open_places(const Tile& tile, const ProductBound& bound, const std::int32_t* products,
                          const float* scales, const float* errors) {
  const CodeDotKernel& kernel = code_dot_kernel();
  if (tile.all) {
    return tile.hits &
           kernel.reaching(bound, products, scales + tile.first, errors + tile.first, tile.count);
  }
  float listed_scales[kMostTilePlaces];
  float listed_errors[kMostTilePlaces];
  for (std::size_t i = 0; i < tile.count; ++i) {
    listed_scales[i] = scales[static_cast<std::size_t>(tile.places[i])];
    listed_errors[i] = errors[static_cast<std::size_t>(tile.places[i])];
  }
  return kernel.reaching(bound, products, listed_scales, listed_errors, tile.count);
}

/// Places of a tile, and their numbers in it.
struct OpenPlaces {
  /// open: a bit for each of the tile's.
  OpenPlaces(const Tile& tile, std::uint64_t open) {
    for (; open != 0; open &= open - 1, ++count) {
      const auto i = static_cast<std::size_t>(std::countr_zero(open));
      numbers[count] = static_cast<std::uint8_t>(i);
      places[count] = tile.all ? static_cast<std::int32_t>(tile.first + i) : tile.places[i];
    }
  }

  std::size_t count = 0;
  std::int32_t places[kMostTilePlaces];
  std::uint8_t numbers[kMostTilePlaces];
};

/// Offers the tile's vectors by leading codes. Rough scores err by as much as the scales.
/// places: of the rows, or null: they lie in their places.
void offer_by_leading_codes(const LeadingRows& rows, const std::int32_t* places,
                            const LeadingQuery& query, const Tile& tile, Candidates& candidates) {
  const ByteDotKernel& kernel = byte_dot_kernel();
  std::int32_t high_products[kMostTilePlaces];
  if (tile.all) {
    kernel.contiguous(query.high.data(), rows.codes + tile.first * kByteRow, tile.count,
                      high_products);
  } else {
    kernel.gathered(query.high.data(), rows.codes, tile.places, tile.count, high_products);
  }
  const OpenPlaces open(tile, open_places(tile, query.rough_bound(candidates.enough()),
                                          high_products, rows.scales, rows.scales));
  if (open.count == 0) return;
  std::int32_t low_products[kMostTilePlaces];
  kernel.gathered(query.low.data(), rows.codes, open.places, open.count, low_products);
  for (std::size_t i = 0; i < open.count; ++i) {
    const auto row = static_cast<std::size_t>(open.places[i]);
    const float score =
        query.score(rows.scales[row], high_products[open.numbers[i]], low_products[i]);
    const float error = query.error(rows.errors[row], rows.rests[row]);
    if (score + error < candidates.enough()) continue;
    candidates.offer(score - error, score + error,
                     places == nullptr ? open.places[i] : places[row]);
  }
}

/// Offers the tile's vectors of which rough scores leave it open whether they are among the k best.
void scan_tile(const CodeTable& codes, const QueryCode& query, const Tile& tile,
               Candidates& candidates) {
  if (!codes.leading().empty()) {
    offer_by_leading_codes(codes.leading().rows(), nullptr, query.leading, tile, candidates);
    return;
  }
  const CodeDotKernel& kernel = code_dot_kernel();
  const std::size_t width = codes.width();
  std::int32_t products[kMostTilePlaces];
  if (tile.all) {
    kernel.contiguous(query.high.data(), codes.upper() + tile.first * width, tile.count, width,
                      products);
  } else {
    kernel.gathered(query.high.data(), codes.upper(), tile.places, tile.count, width, products);
  }
  const OpenPlaces open(tile, open_places(tile, query.rough_bound(candidates.enough()), products,
                                          codes.scales(), codes.rough_errors()));
  if (open.count == 0) return;
  for (std::size_t i = 0; i < open.count; ++i) {
    codes.prefetch_lower(static_cast<std::size_t>(open.places[i]));
    products[i] = products[open.numbers[i]];  // i is not above its number
  }
  offer_places(codes, query, {open.places, open.count}, products, candidates);
}

/// Offers a cap's vectors.
void scan_cap(const SearchTables& tables, const QueryCode& query, std::size_t cap,
              const Filter& filter, Candidates& candidates) {
  const Caps& caps = tables.codes->caps();
  const std::size_t end = caps.begin_of(cap + 1);
  Tile tile;
  for (tile.first = caps.begin_of(cap); tile.first < end; tile.first += tile.count) {
    tile.count = std::min(kMostTilePlaces, end - tile.first);
    if (filter.allowed != nullptr) {
      tile.hits = 0;
      for (std::size_t i = 0; i < tile.count; ++i) {
        const auto place = static_cast<std::size_t>(caps.places()[tile.first + i]);
        tile.hits |= std::uint64_t{filter.lets_through(tables, place)} << i;
      }
    }
    offer_by_leading_codes(caps.members(), caps.places(), query.leading, tile, candidates);
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

/// One query on so many threads: each takes parts of the places, and all go by the best of what any
/// of them knows to be enough. Hits that score less than at_least may be missing.
std::vector<Hit> search_in_parallel(const SearchTables& tables, const float* query,
                                    const QueryCode& code, std::span<const PlaceRange> ranges,
                                    const Filter& filter, std::size_t k, float at_least,
                                    int threads) {
  const std::size_t places = places_in(ranges);
  // Parts enough for a thread that is held up to leave its work to the others.
  const auto threads_count = static_cast<std::size_t>(threads);
  const std::size_t parts =
      std::clamp(places / kLeastPlacesAPart, threads_count, threads_count * kMostPartsAThread);
  std::vector<Candidates> found(threads_count, Candidates(k));
  std::atomic<float> enough{at_least};
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

/// Whether it pays to ask which caps of all vectors are reached.
bool caps_are_worth(const SearchTables& tables, std::span<const PlaceRange> ranges,
                    const Filter& filter, std::size_t k) {
  const std::size_t all = tables.codes->size();
  return !tables.codes->caps().empty() && places_in(ranges) == all && k * kWorthCaps <= all &&
         (filter.allowed == nullptr || filter.allowed->count() * kWorthCaps >= all);
}

/// The k best of all vectors: scans the nearest caps, and those that are then still reached. Where
/// these hold most of the vectors it scans the vectors one behind another, on so many threads.
std::vector<Hit> search_by_caps(const SearchTables& tables, const float* query,
                                const Filter& filter, std::size_t k, int threads) {
  const Caps& caps = tables.codes->caps();
  QueryCode code;
  tables.codes->encode_query_for_scan(query, code);
  std::vector<float> cosines(caps.size());
  caps.cosines(code.leading, cosines.data());
  // With twice k vectors the worst of the k best is not bad.
  const std::size_t nearest_count =
      std::min(caps.size(), std::max(kNearestCaps, 2 * k * caps.size() / tables.codes->size() + 1));
  std::vector<std::size_t> nearest(nearest_count);
  for (std::size_t& cap : nearest) {
    cap = take_largest(cosines.data(), caps.size());
    caps.prefetch(cap);
  }
  Candidates candidates(k);
  for (const std::size_t cap : nearest) scan_cap(tables, code, cap, filter, candidates);

  std::vector<std::int32_t> reached(caps.size());
  reached.resize(caps.reached(code.leading, cosines.data(), candidates.enough(), reached.data()));
  if (2 * reached.size() > caps.size()) {
    const PlaceRange all{0, tables.codes->size()};
    return threads > 1
               ? search_in_parallel(tables, query, code, {&all, 1}, filter, k, candidates.enough(),
                                    threads)
               : search_exactly(tables, query, code, {&all, 1}, filter, k, candidates.enough());
  }
  for (std::size_t i = 0; i < reached.size() + kCapsAhead; ++i) {
    if (i < reached.size()) caps.prefetch(static_cast<std::size_t>(reached[i]));
    if (i < kCapsAhead) continue;
    scan_cap(tables, code, static_cast<std::size_t>(reached[i - kCapsAhead]), filter, candidates);
  }
  return settle(tables, query, candidates.take(), k);
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
  const std::size_t dimension = tables.vectors->dimension();
  std::vector<Hit> hits;
  hits.reserve(scored.size());
  for (std::size_t i = 0; i < scored.size(); ++i) {
    if (scored[i].score + errors[i] < enough) continue;
    const float* vector = tables.vectors->at(static_cast<std::size_t>(scored[i].row));
    for (std::size_t j = 0; j < dimension; j += 16) __builtin_prefetch(vector + j);
    hits.push_back(scored[i]);
  }
  const InnerProductKernel& kernel = inner_product_kernel();
  for (Hit& hit : hits) {
    const auto place = static_cast<std::size_t>(hit.row);
    hit = {kernel.pair(query, tables.vectors->at(place), dimension), tables.row_at(place)};
  }
  std::sort(hits.begin(), hits.end(), Better());
  if (hits.size() > k) hits.resize(k);
  return hits;
}

SearchResult search_exactly(const SearchTables& tables, MatrixView queries,
                            std::span<const PlaceRange> ranges, const Filter& filter,
                            std::size_t k) {
  SearchResult result = make_result(queries.rows, k);
  const std::size_t places = places_in(ranges);
  const int threads = threads_for_codes(queries.rows * places, queries.cols);
  const auto threads_count = static_cast<std::size_t>(threads);
  const bool few_queries = queries.rows < 2 * threads_count;
  if (caps_are_worth(tables, ranges, filter, k)) {
    // Of a query that is alone, threads only share what caps do not rule out.
    parallel_for(queries.rows, few_queries ? 1 : threads, [&](std::size_t query) {
      put_hits(
          search_by_caps(tables, queries.row(query).data(), filter, k, few_queries ? threads : 1),
          query, result);
    });
    return result;
  }
  if (threads > 1 && few_queries) {
    QueryCode code;
    for (std::size_t query = 0; query < queries.rows; ++query) {
      const float* data = queries.row(query).data();
      tables.codes->encode_query_for_scan(data, code);
      put_hits(search_in_parallel(tables, data, code, ranges, filter, k, kLeast, threads), query,
               result);
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
      tables.codes->encode_query_for_scan(queries.row(first + i).data(), codes[i]);
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
