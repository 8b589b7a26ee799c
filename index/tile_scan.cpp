#include "index/tile_scan.h"

#include <bit>
#include <span>

#include "index/kernels/byte_dot.h"

namespace vitrine::index {
namespace {

/// How far ahead of a scan by leading codes memory is fetched.
constexpr std::size_t kBytesAhead = 8192;

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
  Candidate found[kMostTilePlaces];
  for (std::size_t i = 0; i < count; ++i) {
    const auto place = static_cast<std::size_t>(open[i]);
    const float score = query.score(codes.scales()[place], upper_high[numbers[i]],
                                    lower_high[numbers[i]], upper_low[i], lower_low[i]);
    const float error = query.length * codes.errors()[place] + query.slack;
    found[i] = {score - error, score + error, open[i]};
  }
  candidates.offer({found, count});
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

}  // namespace

void scan_tile(const LeadingRows& rows, const std::int32_t* places, const LeadingQuery& query,
               const Tile& tile, Candidates& candidates) {
  const ByteDotKernel& kernel = byte_dot_kernel();
  std::int32_t high_products[kMostTilePlaces];
  if (tile.all) {
    kernel.contiguous(query.high.data(), rows.codes + tile.first * kByteRow, tile.count,
                      high_products);
  } else {
    kernel.gathered(query.high.data(), rows.codes, tile.places, tile.count, high_products);
  }
  // Rough scores err by as much as the scales.
  const OpenPlaces open(tile, open_places(tile, query.rough_bound(candidates.enough()),
                                          high_products, rows.scales, rows.scales));
  if (open.count == 0) return;
  std::int32_t low_products[kMostTilePlaces];
  kernel.gathered(query.low.data(), rows.codes, open.places, open.count, low_products);
  Candidate found[kMostTilePlaces];
  for (std::size_t i = 0; i < open.count; ++i) {
    const auto row = static_cast<std::size_t>(open.places[i]);
    const float score =
        query.score(rows.scales[row], high_products[open.numbers[i]], low_products[i]);
    const float error = query.error(rows.errors[row], rows.rests[row]);
    found[i] = {score - error, score + error, places == nullptr ? open.places[i] : places[row]};
  }
  candidates.offer({found, open.count});
}

void scan_tile(const CodeTable& codes, const QueryCode& query, const Tile& tile,
               Candidates& candidates) {
  if (!codes.leading().empty()) {
    if (tile.all) {
      // The CPU itself does not fetch short rows far enough ahead.
      const std::uint8_t* ahead = codes.leading().codes() + tile.first * kByteRow + kBytesAhead;
      for (std::size_t i = 0; i < tile.count; i += 2) __builtin_prefetch(ahead + i * kByteRow);
    }
    scan_tile(codes.leading().rows(), nullptr, query.leading, tile, candidates);
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

}  // namespace vitrine::index
