#include "engine/experiment_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace vitrine::engine {
namespace {

using nlohmann::json;

json to_json(const Measurement& m, bool on_curve) {
  json parameters = json::object();
  for (const auto& [name, value] : values_of(m.spec, m.search)) parameters[name] = value;
  return {{"kind", m.spec.kind},
          {"parameters", std::move(parameters)},
          {"recall", m.recall},
          {"group_recalls", m.group_recalls},
          {"queries_per_second", m.queries_per_second},
          {"latency_ms", {{"p50", m.p50_ms}, {"p95", m.p95_ms}, {"p99", m.p99_ms}}},
          {"build_seconds", m.build_seconds},
          {"bytes_per_vector", m.bytes_per_vector},
          {"pareto", on_curve}};
}

Measurement measurement_from_json(const json& stored) {
  Measurement m;
  stored.at("kind").get_to(m.spec.kind);
  for (const GridParameter* parameter : parameters_of(m.spec.kind)) {
    const int value = stored.at("parameters").at(std::string(parameter->name)).get<int>();
    if (parameter->build != nullptr) m.spec.*(parameter->build) = value;
    if (parameter->search != nullptr) m.search.*(parameter->search) = value;
  }
  stored.at("recall").get_to(m.recall);
  stored.at("group_recalls").get_to(m.group_recalls);
  stored.at("queries_per_second").get_to(m.queries_per_second);
  stored.at("latency_ms").at("p50").get_to(m.p50_ms);
  stored.at("latency_ms").at("p95").get_to(m.p95_ms);
  stored.at("latency_ms").at("p99").get_to(m.p99_ms);
  stored.at("build_seconds").get_to(m.build_seconds);
  stored.at("bytes_per_vector").get_to(m.bytes_per_vector);
  return m;
}

template <class Value>
json or_null(const std::optional<Value>& value) {
  return value ? json(*value) : json();
}

template <class Value>
std::optional<Value> optional_at(const json& stored, const char* name) {
  if (stored.at(name).is_null()) return std::nullopt;
  return stored.at(name).get<Value>();
}

/// Reads a whole record; whatever is missing in it or of another type is Corruption.
template <class Read>
auto checked(std::string_view what, const Read& read) {
  try {
    return read();
  } catch (const json::exception& error) {
    throw corruption(fmt::format("a stored {} is malformed: {}", what, error.what()));
  }
}

}  // namespace

json to_json(const ExperimentReport& report) {
  json queries = json::array();
  for (const QueryGroup& group : report.queries) {
    queries.push_back({{"name", group.name}, {"count", group.count}});
  }
  const std::vector<bool> curve = on_pareto_curve(report.measurements);
  json measurements = json::array();
  for (std::size_t i = 0; i < report.measurements.size(); ++i) {
    measurements.push_back(to_json(report.measurements[i], curve[i]));
  }
  return {{"catalog", report.catalog},
          {"generation", report.generation},
          {"sequence", report.sequence},
          {"target", report.target},
          {"vectors", report.vectors},
          {"dimension", report.dimension},
          {"queries", std::move(queries)},
          {"k", report.k},
          {"instruction_set", report.instruction_set},
          {"cores", report.cores},
          {"created_at", report.created_at},
          {"seconds", report.seconds},
          {"measurements", std::move(measurements)}};
}

ExperimentReport experiment_from_json(const json& stored) {
  return checked("experiment", [&] {
    ExperimentReport report;
    stored.at("catalog").get_to(report.catalog);
    stored.at("generation").get_to(report.generation);
    stored.at("sequence").get_to(report.sequence);
    stored.at("target").get_to(report.target);
    stored.at("vectors").get_to(report.vectors);
    stored.at("dimension").get_to(report.dimension);
    for (const auto& group : stored.at("queries")) {
      report.queries.push_back(
          {group.at("name").get<std::string>(), group.at("count").get<std::size_t>()});
    }
    stored.at("k").get_to(report.k);
    stored.at("instruction_set").get_to(report.instruction_set);
    stored.at("cores").get_to(report.cores);
    stored.at("created_at").get_to(report.created_at);
    stored.at("seconds").get_to(report.seconds);
    for (const auto& one : stored.at("measurements")) {
      report.measurements.push_back(measurement_from_json(one));
    }
    return report;
  });
}

json to_json(const TuningReport& report) {
  json result = to_json(report.experiment);
  result["goal"] = {{"recall", report.goal.recall},
                    {"bytes_per_vector", or_null(report.goal.bytes_per_vector)},
                    {"latency_ms", or_null(report.goal.p99_ms)}};
  result["choice"] = {{"chosen", or_null(report.choice.chosen)},
                      {"nearest", report.choice.nearest},
                      {"reason", report.choice.reason}};
  result["applied_generation"] = or_null(report.generation);
  return result;
}

TuningReport tuning_from_json(const json& stored) {
  return checked("tuning", [&] {
    TuningReport report;
    report.experiment = experiment_from_json(stored);
    const auto& goal = stored.at("goal");
    goal.at("recall").get_to(report.goal.recall);
    report.goal.bytes_per_vector = optional_at<double>(goal, "bytes_per_vector");
    report.goal.p99_ms = optional_at<double>(goal, "latency_ms");
    const auto& choice = stored.at("choice");
    report.choice.chosen = optional_at<std::size_t>(choice, "chosen");
    choice.at("nearest").get_to(report.choice.nearest);
    choice.at("reason").get_to(report.choice.reason);
    const std::size_t count = report.experiment.measurements.size();
    if (report.choice.nearest >= count || report.choice.chosen.value_or(0) >= count) {
      throw corruption("a stored tuning chooses what was not measured");
    }
    report.generation = optional_at<std::uint64_t>(stored, "applied_generation");
    return report;
  });
}

std::string to_csv(const ExperimentReport& report) {
  std::string csv = "kind";
  for (const GridParameter& parameter : grid_parameters())
    csv += fmt::format(",{}", parameter.name);
  csv += ",recall";
  for (const QueryGroup& group : report.queries) csv += fmt::format(",recall_of_{}", group.name);
  csv += ",queries_per_second,p50_ms,p95_ms,p99_ms,build_seconds,bytes_per_vector,pareto\n";

  const std::vector<bool> curve = on_pareto_curve(report.measurements);
  for (std::size_t i = 0; i < report.measurements.size(); ++i) {
    const Measurement& m = report.measurements[i];
    const ParameterValues values = values_of(m.spec, m.search);
    csv += m.spec.kind;
    for (const GridParameter& parameter : grid_parameters()) {
      const auto found =
          std::ranges::find(values, parameter.name, &ParameterValues::value_type::first);
      csv += found == values.end() ? "," : fmt::format(",{}", found->second);
    }
    csv += fmt::format(",{}", m.recall);
    for (const double recall : m.group_recalls) csv += fmt::format(",{}", recall);
    csv += fmt::format(",{},{},{},{},{},{},{}\n", m.queries_per_second, m.p50_ms, m.p95_ms,
                       m.p99_ms, m.build_seconds, m.bytes_per_vector, curve[i] ? 1 : 0);
  }
  return csv;
}

}  // namespace vitrine::engine
