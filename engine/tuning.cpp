#include "engine/tuning.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "engine/catalog.h"

namespace vitrine::engine {
namespace {

/// Measurements of queries/s are this exact.
constexpr double kSameSpeed = 0.95;

void check_positive(std::string_view name, const std::optional<double>& value) {
  if (value && !(*value > 0 && std::isfinite(*value))) {
    throw invalid_argument(fmt::format("{} is {}; it must be above 0", name, *value));
  }
}

/// By which part a measurement misses the goal; 0 when it meets it.
double excess(const Measurement& m, const TuningGoal& goal) {
  double sum = std::max(0.0, (goal.recall - m.lowest_recall()) / goal.recall);
  if (goal.bytes_per_vector) sum += std::max(0.0, m.bytes_per_vector / *goal.bytes_per_vector - 1);
  if (goal.p99_ms) sum += std::max(0.0, m.p99_ms / *goal.p99_ms - 1);
  return sum;
}

std::string describe_goal(const TuningGoal& goal) {
  std::string text = fmt::format("recall {:.3f}", goal.recall);
  if (goal.bytes_per_vector) {
    text += fmt::format(", at most {:.0f} bytes a vector", *goal.bytes_per_vector);
  }
  if (goal.p99_ms) text += fmt::format(", p99 at most {:.3f} ms", *goal.p99_ms);
  return text;
}

std::string describe_measurement(const Measurement& m) {
  return fmt::format("{} (recall {:.3f}, {:.0f} queries/s, p99 {:.3f} ms, {:.0f} bytes a vector)",
                     describe(m.spec, m.search), m.lowest_recall(), m.queries_per_second, m.p99_ms,
                     m.bytes_per_vector);
}

}  // namespace

void TuningGoal::validate() const {
  if (!(recall > 0 && recall <= 1)) {
    throw invalid_argument(fmt::format("recall is {}; it must be above 0 and at most 1", recall));
  }
  check_positive("bytes_per_vector", bytes_per_vector);
  check_positive("latency_ms", p99_ms);
}

void TuningRequest::validate() const {
  experiment.validate();
  goal.validate();
  check_positive("memory_mb", memory_mib);
}

void TuningRequest::validate_for(std::size_t products) const {
  const std::size_t sample = experiment.max_products;
  if (apply && sample > 0 && sample < products) {
    throw invalid_argument(fmt::format(
        "max_products is {} and the catalog has {}: the lists and the speed of a sample are not "
        "those of the whole, so that what suits it is only told, by a dry run",
        sample, products));
  }
}

TuningGoal goal_of(const TuningRequest& request, std::size_t products) {
  TuningGoal goal = request.goal;
  if (request.memory_mib) {
    constexpr double kMiB = 1 << 20;
    constexpr double kIndices = 2;
    const double bytes = *request.memory_mib * kMiB / kIndices /
                         static_cast<double>(std::max<std::size_t>(products, 1));
    goal.bytes_per_vector = std::min(bytes, goal.bytes_per_vector.value_or(bytes));
  }
  return goal;
}

TuningChoice choose(std::span<const Measurement> measurements, const TuningGoal& goal) {
  if (measurements.empty()) throw invalid_argument("nothing was measured to choose from");
  std::vector<std::size_t> meeting;
  for (std::size_t i = 0; i < measurements.size(); ++i) {
    if (excess(measurements[i], goal) == 0) meeting.push_back(i);
  }
  TuningChoice choice;
  if (meeting.empty()) {
    std::vector<double> misses;
    for (const Measurement& one : measurements) misses.push_back(excess(one, goal));
    choice.nearest = static_cast<std::size_t>(std::ranges::min_element(misses) - misses.begin());
    choice.reason =
        fmt::format("Nothing that was tried meets the goal ({}). {} comes nearest.",
                    describe_goal(goal), describe_measurement(measurements[choice.nearest]));
    return choice;
  }
  double fastest = 0;
  for (const std::size_t i : meeting) {
    fastest = std::max(fastest, measurements[i].queries_per_second);
  }
  std::vector<std::size_t> fast = meeting;
  std::erase_if(fast, [&](std::size_t i) {
    return measurements[i].queries_per_second < kSameSpeed * fastest;
  });
  choice.chosen = *std::ranges::min_element(fast, {}, [&](std::size_t i) {
    const Measurement& m = measurements[i];
    return std::tuple(m.bytes_per_vector, m.build_seconds, -m.queries_per_second, i);
  });
  choice.nearest = *choice.chosen;
  choice.reason = fmt::format("{} of {} ways that were tried meet the goal ({}). ", meeting.size(),
                              measurements.size(), describe_goal(goal));
  choice.reason += fast.size() == 1
                       ? fmt::format("{} is the fastest of them.",
                                     describe_measurement(measurements[*choice.chosen]))
                       : fmt::format(
                             "{} are equally fast within 5 %; {} takes the fewest bytes and the "
                             "shortest build of those.",
                             fast.size(), describe_measurement(measurements[*choice.chosen]));
  return choice;
}

TuningReport run_tuning(const Catalog& catalog, const TuningRequest& request,
                        const std::filesystem::path& scratch, int threads,
                        const ProgressCallback& progress, const std::atomic<bool>* cancel) {
  request.validate();
  TuningReport report;
  report.goal = goal_of(request, catalog.size());
  ExperimentRequest experiment = request.experiment;
  experiment.enough_recall = request.goal.recall;
  report.experiment = run_experiment(catalog, experiment, scratch, threads, progress, cancel);
  report.choice = choose(report.experiment.measurements, report.goal);
  return report;
}

IndexRequest tuned(IndexRequest request, const TuningReport& report) {
  const Measurement& chosen = report.experiment.measurements[report.choice.chosen.value()];
  request.index = chosen.spec;
  request.search = chosen.search;
  request.tuned = true;
  return request;
}

}  // namespace vitrine::engine
