#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "engine/experiment.h"

/// Chooses the index of a catalog from what an experiment measured on it.
namespace vitrine::engine {

/// What an index must keep to.
struct TuningGoal {
  /// Mean part of the k best hits that are found; of queries in groups, of each group. Valid: (0,
  /// 1].
  double recall = 0.95;
  /// Bytes a vector. Positive.
  std::optional<double> bytes_per_vector;
  /// 99 of 100 queries take at most so long, in milliseconds, on one thread. Positive.
  std::optional<double> p99_ms;

  /// Throws InvalidArgument that names the field.
  void validate() const;
  bool operator==(const TuningGoal&) const = default;
};

struct TuningChoice {
  std::optional<std::size_t> chosen;  ///< index of the measurement; nothing meets the goal without
  std::size_t nearest = 0;            ///< the chosen one, or what misses the goal by the least
  std::string reason;                 ///< one paragraph for people
  bool operator==(const TuningChoice&) const = default;
};

/// The fastest measurement that meets the goal. What is at most 5 % slower counts as equally fast,
/// since timings are no more exact than that: of those the one with the fewest bytes, then the one
/// that was built soonest. When nothing meets the goal, the nearest is what exceeds it by the
/// smallest part, summed over recall, bytes and latency. measurements: at least one.
TuningChoice choose(std::span<const Measurement> measurements, const TuningGoal& goal);

struct TuningRequest {
  /// How to measure; enough_recall is the goal's recall.
  ExperimentRequest experiment;
  TuningGoal goal;
  /// Memory for both indices of the catalog, images and captions, in MiB; beside
  /// goal.bytes_per_vector the tighter one holds. Positive.
  std::optional<double> memory_mib;
  bool apply = true;  ///< false: only tell what would be chosen

  /// Throws InvalidArgument that names the field.
  void validate() const;
  /// The same, where what suits a sample of a catalog of so many products would be applied to all.
  void validate_for(std::size_t products) const;
};

struct TuningReport {
  ExperimentReport experiment;
  TuningGoal goal;  ///< with memory_mib in it, as bytes a vector
  TuningChoice choice;
  std::optional<std::uint64_t> generation;  ///< that was built as chosen; absent: nothing changed
};

/// The request's goal for a catalog of so many products.
TuningGoal goal_of(const TuningRequest& request, std::size_t products);

/// Measures and chooses. Errors and the rest: see run_experiment().
TuningReport run_tuning(const Catalog& catalog, const TuningRequest& request,
                        const std::filesystem::path& scratch, int threads,
                        const ProgressCallback& progress, const std::atomic<bool>* cancel);

/// The request with the index, and the ways to search it, that were chosen. report.choice.chosen is
/// set.
IndexRequest tuned(IndexRequest request, const TuningReport& report);

}  // namespace vitrine::engine
