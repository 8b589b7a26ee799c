#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "index/vector_index.h"

/// Measures one index and one way to search it: what experiments and tuning have in common.
namespace vitrine::engine {

/// Queries that belong together, such as those that are texts.
struct QueryGroup {
  std::string name;
  std::size_t count = 0;
  bool operator==(const QueryGroup&) const = default;
};

/// What is searched, and for what.
struct TestData {
  Matrix vectors;  ///< [n, dimension], unit rows
  Matrix queries;  ///< [q, dimension], unit rows, group after group
  std::vector<QueryGroup> groups;
};

/// Latencies are of single queries, one after another, on one thread.
struct Measurement {
  index::IndexSpec spec;
  index::SearchOptions search;        ///< `exact` and `allowed` have their defaults
  double recall = 0;                  ///< mean over all queries, in [0, 1]
  std::vector<double> group_recalls;  ///< the same of each group
  double queries_per_second = 0;
  double p50_ms = 0, p95_ms = 0, p99_ms = 0;
  double build_seconds = 0;     ///< of the index, on all threads
  double bytes_per_vector = 0;  ///< of the index's file, which is what is mapped into memory

  /// Of the group that has the lowest.
  double lowest_recall() const;
};

/// The exact hits of every query, from which recall is counted.
class GroundTruth {
 public:
  /// index: of any kind, over data.vectors. data must outlive it. k: in [1, data.vectors.rows()].
  GroundTruth(const index::VectorIndex& index, const TestData& data, int k,
              const std::atomic<bool>* cancel);

  int k() const { return k_; }
  /// Part of the k hits of a query that are among the k best, or as near to it as the last of
  /// those: of equal vectors no one is the right one. rows: [k].
  double recall(std::size_t query, const std::int64_t* rows) const;

 private:
  const TestData& data_;
  const int k_;
  std::vector<std::int64_t> rows_;  // [queries, k], ascending in each query
  std::vector<float> worst_;        // score of the last of them
};

/// An index as a generation holds it: written to a file and opened from there.
struct MeasuredIndex {
  std::unique_ptr<index::VectorIndex> index;
  double build_seconds = 0;
  double bytes_per_vector = 0;
};

/// folder: exists; the file that is left in it is replaced by the next build. Throws what
/// build_index(), save() and open_index() throw, and Cancelled.
MeasuredIndex build_measured(MatrixView vectors, const index::IndexSpec& spec,
                             const std::filesystem::path& folder, const std::atomic<bool>* cancel);

/// Asks every query once, and goes round again until at least min_seconds have passed. Uses the
/// calling thread alone, whose OpenMP threads it sets to 1. Throws Cancelled.
Measurement measure_search(const MeasuredIndex& index, const index::IndexSpec& spec,
                           const index::SearchOptions& search, const TestData& data,
                           const GroundTruth& truth, double min_seconds,
                           const std::atomic<bool>* cancel);

/// The value that a part of the samples, in [0, 1], does not exceed: the smallest with at least
/// that many at or below it. samples: ascending, not empty.
double percentile(const std::vector<double>& samples, double part);

/// Throws Cancelled when the flag is set.
void throw_if_cancelled(const std::atomic<bool>* cancel);

}  // namespace vitrine::engine
