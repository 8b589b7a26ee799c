#include "index/gpu/device_hits.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "index/kernels/inner_product.h"
#include "index/vector_index.h"

namespace vitrine::index {

double most_difference(std::size_t dimension) {
  constexpr double kUnitRoundoff = 0x1p-24;
  /// Of two vectors whose lengths are within 1e-3 of 1, as measured in float32.
  constexpr double kMostLengths = 1.003;
  /// What a product loses that a device flushes to zero.
  constexpr double kSmallest = 0x1p-126;
  const auto terms = static_cast<double>(dimension);
  // Higham: a float32 inner product of n terms errs by at most n u / (1 - n u) times the sum of the
  // terms' magnitudes, in any order of additions; by Cauchy and Schwarz that sum is at most the
  // product of the lengths. Two such products differ by twice that.
  const double error = terms * kUnitRoundoff / (1 - terms * kUnitRoundoff) * kMostLengths;
  return 2 * (error + terms * kSmallest);
}

std::optional<std::vector<Hit>> proven_hits(const SearchTables& tables, const std::int32_t* places,
                                            const float* query, const Proposal& proposal,
                                            const RowSet* allowed, std::size_t k) {
  const InnerProductKernel& kernel = inner_product_kernel();
  const VectorTable& vectors = *tables.vectors;
  const double tolerance = most_difference(vectors.dimension());
  const auto end = std::find(proposal.rows.begin(), proposal.rows.end(), kNoRow);
  const auto found = static_cast<std::size_t>(end - proposal.rows.begin());
  if (found != std::min(proposal.rows.size(), proposal.total)) {
    throw unavailable(fmt::format("the device gave {} of {} rows", found,
                                  std::min(proposal.rows.size(), proposal.total)));
  }
  std::vector<Hit> hits;
  hits.reserve(found);
  double last = 1;
  for (std::size_t i = 0; i < found; ++i) {
    const std::int64_t row = proposal.rows[i];
    if (row < 0 || static_cast<std::size_t>(row) >= vectors.size()) {
      throw unavailable(fmt::format("the device gave row {} of {}", row, vectors.size()));
    }
    const auto number = static_cast<std::size_t>(row);
    last = std::min(last, static_cast<double>(proposal.scores[i]));
    if (allowed != nullptr && !allowed->contains(number)) continue;
    const auto place = places == nullptr ? number : static_cast<std::size_t>(places[number]);
    const float score = kernel.pair(query, vectors.at(place), vectors.dimension());
    const double difference = std::abs(static_cast<double>(score) - proposal.scores[i]);
    if (!(difference <= tolerance)) {  // NaN is not below anything
      throw unavailable(fmt::format(
          "the device gives row {} a score of {}, the CPU {}: they do not both compute in float32",
          row, proposal.scores[i], score));
    }
    hits.push_back({score, row});
  }
  std::sort(hits.begin(), hits.end(), better);
  for (std::size_t i = 1; i < hits.size(); ++i) {
    if (hits[i].row == hits[i - 1].row) {
      throw unavailable(fmt::format("the device gave row {} twice", hits[i].row));
    }
  }
  const bool all = found == proposal.total;
  if (!all && (hits.size() < k || !(hits[k - 1].score > last + tolerance))) return std::nullopt;
  hits.resize(std::min(hits.size(), k));
  return hits;
}

}  // namespace vitrine::index
