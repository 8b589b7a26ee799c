#include "engine/experiment_measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/compute_threads.h"
#include "base/error.h"
#include "engine/timestamp.h"
#include "engine/vectors.h"

namespace vitrine::engine {
namespace {

using Clock = std::chrono::steady_clock;

/// Queries that warm caches and the branch predictor up before any time is taken.
constexpr std::size_t kWarmUp = 32;
/// Queries of one exact search: enough to read the vectors once for many, few enough to cancel.
constexpr std::size_t kQueriesAtOnce = 64;

MatrixView rows_of(const Matrix& matrix, std::size_t first, std::size_t count) {
  return {matrix.row(first).data(), count, matrix.cols()};
}

}  // namespace

void throw_if_cancelled(const std::atomic<bool>* cancel) {
  if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) {
    throw cancelled("the experiment was cancelled");
  }
}

double percentile(const std::vector<double>& samples, double part) {
  const double place = std::ceil(part * static_cast<double>(samples.size()));
  const auto rank = static_cast<std::size_t>(std::max(1.0, place));
  return samples[std::min(rank, samples.size()) - 1];
}

double Measurement::lowest_recall() const {
  return group_recalls.empty() ? recall : *std::ranges::min_element(group_recalls);
}

GroundTruth::GroundTruth(const index::VectorIndex& index, const TestData& data, int k,
                         const std::atomic<bool>* cancel)
    : data_(data), k_(k) {
  const auto hits = static_cast<std::size_t>(k);
  index::SearchOptions exact;
  exact.exact = true;
  for (std::size_t first = 0; first < data.queries.rows(); first += kQueriesAtOnce) {
    throw_if_cancelled(cancel);
    const std::size_t count = std::min(kQueriesAtOnce, data.queries.rows() - first);
    index::SearchResult found = index.search(rows_of(data.queries, first, count), k, exact);
    for (std::size_t query = 0; query < count; ++query) {
      const auto begin = found.rows.begin() + static_cast<std::ptrdiff_t>(query * hits);
      const auto last = static_cast<std::size_t>(begin[k - 1]);
      worst_.push_back(dot(data.queries.row(first + query), data.vectors.row(last)));
      std::sort(begin, begin + k);
    }
    rows_.insert(rows_.end(), found.rows.begin(), found.rows.end());
  }
}

double GroundTruth::recall(std::size_t query, const std::int64_t* rows) const {
  const auto begin = rows_.begin() + static_cast<std::ptrdiff_t>(query) * k_;
  int right = 0;
  for (int i = 0; i < k_; ++i) {
    if (rows[i] == index::kNoRow) continue;
    const bool is_right =
        std::binary_search(begin, begin + k_, rows[i]) ||
        dot(data_.queries.row(query), data_.vectors.row(static_cast<std::size_t>(rows[i]))) >=
            worst_[query];
    right += is_right ? 1 : 0;
  }
  return static_cast<double>(right) / k_;
}

MeasuredIndex build_measured(MatrixView vectors, const index::IndexSpec& spec,
                             const std::filesystem::path& folder, const std::atomic<bool>* cancel) {
  const std::filesystem::path file = folder / "experiment.faiss";
  throw_if_cancelled(cancel);
  const auto start = Clock::now();
  std::unique_ptr<index::VectorIndex> built = index::build_index(
      vectors, spec, [cancel](std::size_t, std::size_t) { throw_if_cancelled(cancel); });
  MeasuredIndex measured;
  measured.build_seconds = milliseconds_since(start) / 1000;
  throw_if_cancelled(cancel);
  built->save(file);
  built.reset();  // before the file is mapped: memory holds one index at a time
  measured.bytes_per_vector =
      static_cast<double>(std::filesystem::file_size(file)) / static_cast<double>(vectors.rows);
  measured.index = index::open_index(file);
  return measured;
}

Measurement measure_search(const MeasuredIndex& index, const index::IndexSpec& spec,
                           const index::SearchOptions& search, const TestData& data,
                           const GroundTruth& truth, double min_seconds,
                           const std::atomic<bool>* cancel) {
  set_compute_threads_of_this_thread(1);
  Measurement measurement;
  measurement.spec = spec;
  measurement.search = search;
  measurement.build_seconds = index.build_seconds;
  measurement.bytes_per_vector = index.bytes_per_vector;

  const std::size_t count = data.queries.rows();
  index::SearchResult found;
  for (std::size_t query = 0; query < std::min(kWarmUp, count); ++query) {
    throw_if_cancelled(cancel);
    index.index->search(rows_of(data.queries, query, 1), truth.k(), search, found);
  }
  std::vector<double> latencies;
  std::vector<double> recalls;
  double total_ms = 0;
  do {
    for (std::size_t query = 0; query < count; ++query) {
      throw_if_cancelled(cancel);
      const auto start = Clock::now();
      index.index->search(rows_of(data.queries, query, 1), truth.k(), search, found);
      latencies.push_back(milliseconds_since(start));
      total_ms += latencies.back();
      if (recalls.size() < count) recalls.push_back(truth.recall(query, found.rows.data()));
    }
  } while (total_ms < 1000 * min_seconds);

  const auto mean = [&](std::size_t first, std::size_t number) {
    const auto begin = recalls.begin() + static_cast<std::ptrdiff_t>(first);
    const double sum = std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(number), 0.0);
    return number == 0 ? 0 : sum / static_cast<double>(number);
  };
  measurement.recall = mean(0, count);
  std::size_t first = 0;
  for (const QueryGroup& group : data.groups) {
    measurement.group_recalls.push_back(mean(first, group.count));
    first += group.count;
  }
  measurement.queries_per_second = 1000 * static_cast<double>(latencies.size()) / total_ms;
  std::ranges::sort(latencies);
  measurement.p50_ms = percentile(latencies, 0.50);
  measurement.p95_ms = percentile(latencies, 0.95);
  measurement.p99_ms = percentile(latencies, 0.99);
  return measurement;
}

}  // namespace vitrine::engine
