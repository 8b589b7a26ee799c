#include "engine/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "base/compute_threads.h"
#include "base/error.h"
#include "base/instruction_set.h"
#include "engine/catalog.h"
#include "engine/experiment_data.h"
#include "engine/progress_meter.h"
#include "engine/timestamp.h"

namespace vitrine::engine {
namespace {

void check_range(std::string_view name, double value, double low, double high) {
  if (!(value >= low && value <= high)) {
    throw invalid_argument(fmt::format("{} is {}; it must be in [{}, {}]", name, value, low, high));
  }
}

void check_given(std::string_view what, std::size_t count, bool wanted) {
  if (!wanted && count > 0) {
    throw invalid_argument(fmt::format("{} are given, but the queries are others", what));
  }
  if (wanted && (count < 1 || count > kMaxExperimentQueries)) {
    throw invalid_argument(
        fmt::format("there are {} {}; there must be 1 to {}", count, what, kMaxExperimentQueries));
  }
}

std::uint64_t steps_of(const std::vector<GridBuild>& builds) {
  std::uint64_t steps = 0;
  for (const GridBuild& build : builds) steps += 1 + build.searches.size();
  return steps;
}

}  // namespace

std::string_view to_string(QuerySource source) {
  switch (source) {
    case QuerySource::kImages:
      return "images";
    case QuerySource::kCaptions:
      return "captions";
    case QuerySource::kBoth:
      return "both";
    case QuerySource::kTexts:
      return "texts";
    case QuerySource::kVectors:
      return "vectors";
  }
  return "unknown";
}

void ExperimentRequest::validate() const {
  check_range("queries", queries, 1, kMaxExperimentQueries);
  check_range("k", k, 1, kMaxExperimentK);
  check_range("min_seconds", min_seconds, 0, 60);
  check_given("texts", texts.size(), source == QuerySource::kTexts);
  if (source != QuerySource::kTexts) {
    check_given("vectors", vectors.rows(), source == QuerySource::kVectors);
  }
  grid.validate();
}

ExperimentReport run_experiment(const Catalog& catalog, const ExperimentRequest& request,
                                const std::filesystem::path& scratch, int threads,
                                const ProgressCallback& progress, const std::atomic<bool>* cancel) {
  const auto start = std::chrono::steady_clock::now();
  request.validate();
  const TestData data = draw_test_data(catalog, request, cancel);
  const std::vector<GridBuild> builds = expand(request.grid, data.vectors.rows());

  ExperimentReport report;
  report.catalog = catalog.name();
  report.generation = catalog.generation();
  report.sequence = catalog.sequence();
  report.target = request.target == Target::kImage ? "image" : "caption";
  report.vectors = data.vectors.rows();
  report.dimension = data.vectors.cols();
  report.queries = data.groups;
  report.k = request.k;
  report.instruction_set = to_string(best_instruction_set());
  report.cores = threads > 0 ? threads : available_cores();
  report.created_at = utc_now();

  ProgressMeter meter(progress);
  meter.begin_stage(IndexStage::kMeasuring, steps_of(builds));
  std::uint64_t done = 0;
  std::optional<GroundTruth> truth;
  for (const GridBuild& build : builds) {
    set_compute_threads_of_this_thread(threads);
    const MeasuredIndex index = build_measured(data.vectors, build.spec, scratch, cancel);
    if (!truth) truth.emplace(*index.index, data, request.k, cancel);
    meter.update(++done, 0);
    bool enough = false;
    for (const index::SearchOptions& search : build.searches) {
      if (!enough) {
        report.measurements.push_back(
            measure_search(index, build.spec, search, data, *truth, request.min_seconds, cancel));
        enough = request.enough_recall &&
                 report.measurements.back().lowest_recall() >= *request.enough_recall;
      }
      meter.update(++done, 0);
    }
  }
  set_compute_threads_of_this_thread(threads);
  meter.end_stage();
  report.seconds = milliseconds_since(start) / 1000;
  return report;
}

std::vector<bool> on_pareto_curve(std::span<const Measurement> measurements) {
  const auto beats = [](const Measurement& a, const Measurement& b) {
    return a.spec.kind == b.spec.kind && a.recall >= b.recall &&
           a.queries_per_second >= b.queries_per_second &&
           (a.recall > b.recall || a.queries_per_second > b.queries_per_second);
  };
  std::vector<bool> best;
  for (const Measurement& one : measurements) {
    best.push_back(std::ranges::none_of(
        measurements, [&](const Measurement& other) { return beats(other, one); }));
  }
  return best;
}

}  // namespace vitrine::engine
