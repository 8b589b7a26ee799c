#include "engine/report_json.h"

#include <array>

#include "base/error.h"
#include "engine/experiment_grid.h"
#include "engine/experiment_report.h"

namespace vitrine::engine {
namespace {

constexpr std::array kStages = {IndexStage::kReading, IndexStage::kEncoding, IndexStage::kBuilding,
                                IndexStage::kPublishing, IndexStage::kMeasuring};
constexpr std::array kKinds = {JobKind::kReindex, JobKind::kMerge, JobKind::kExperiment,
                               JobKind::kTune};
constexpr std::array kStates = {JobState::kRunning, JobState::kSucceeded, JobState::kFailed,
                                JobState::kCancelled, JobState::kInterrupted};

template <typename Enumeration, std::size_t n>
Enumeration from_name(const std::array<Enumeration, n>& values, const std::string& name) {
  for (const Enumeration value : values) {
    if (to_string(value) == name) return value;
  }
  throw corruption("unknown name \"" + name + "\" in a stored record");
}

template <typename T>
nlohmann::json optional_to_json(const std::optional<T>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

template <typename T>
std::optional<T> optional_from_json(const nlohmann::json& json) {
  if (json.is_null()) return std::nullopt;
  return json.get<T>();
}

nlohmann::json to_json(const IndexProgress& progress) {
  return {{"stage", to_string(progress.stage)},
          {"done", progress.done},
          {"total", optional_to_json(progress.total)},
          {"failed", progress.failed},
          {"products_per_second", progress.products_per_second},
          {"eta_seconds", optional_to_json(progress.eta_seconds)}};
}

IndexProgress progress_from_json(const nlohmann::json& json) {
  IndexProgress progress;
  progress.stage = from_name(kStages, json.at("stage").get<std::string>());
  json.at("done").get_to(progress.done);
  progress.total = optional_from_json<std::uint64_t>(json.at("total"));
  json.at("failed").get_to(progress.failed);
  json.at("products_per_second").get_to(progress.products_per_second);
  progress.eta_seconds = optional_from_json<double>(json.at("eta_seconds"));
  return progress;
}

nlohmann::json to_json(const IndexReport& report) {
  nlohmann::json failures = nlohmann::json::array();
  for (const FailedProduct& failure : report.failures) {
    failures.push_back(
        {{"id", failure.id}, {"record", failure.record}, {"reason", failure.reason}});
  }
  return {{"products", report.products},
          {"indexed", report.indexed},
          {"encoded", report.encoded},
          {"cached", report.cached},
          {"captions_encoded", report.captions_encoded},
          {"imported", report.imported},
          {"captions_imported", report.captions_imported},
          {"captions_cached", report.captions_cached},
          {"failed", report.failed},
          {"failures", std::move(failures)},
          {"seconds", report.seconds},
          {"generation", report.generation},
          {"content_hash", report.content_hash}};
}

IndexReport report_from_json(const nlohmann::json& json) {
  IndexReport report;
  json.at("products").get_to(report.products);
  json.at("indexed").get_to(report.indexed);
  json.at("encoded").get_to(report.encoded);
  json.at("cached").get_to(report.cached);
  json.at("captions_encoded").get_to(report.captions_encoded);
  json.at("captions_cached").get_to(report.captions_cached);
  // Absent from what was written before there were imports.
  report.imported = json.value("imported", std::uint64_t{0});
  report.captions_imported = json.value("captions_imported", std::uint64_t{0});
  json.at("failed").get_to(report.failed);
  for (const nlohmann::json& failure : json.at("failures")) {
    report.failures.push_back({failure.at("id").get<std::string>(),
                               failure.at("record").get<std::uint64_t>(),
                               failure.at("reason").get<std::string>()});
  }
  json.at("seconds").get_to(report.seconds);
  json.at("generation").get_to(report.generation);
  json.at("content_hash").get_to(report.content_hash);
  return report;
}

}  // namespace

nlohmann::json to_json(const JobStatus& job) {
  return {{"id", job.id},
          {"catalog", job.catalog},
          {"kind", to_string(job.kind)},
          {"state", to_string(job.state)},
          {"progress", to_json(job.progress)},
          {"report", job.report ? to_json(*job.report) : nlohmann::json()},
          {"experiment", job.experiment ? to_json(*job.experiment) : nlohmann::json()},
          {"tuning", job.tuning ? to_json(*job.tuning) : nlohmann::json()},
          {"error", job.error},
          {"created_at", job.created_at},
          {"finished_at", job.finished_at}};
}

JobStatus job_from_json(const nlohmann::json& json) try {
  JobStatus job;
  json.at("id").get_to(job.id);
  json.at("catalog").get_to(job.catalog);
  // Absent from what was written before there were merges.
  job.kind = from_name(kKinds, json.value("kind", std::string(to_string(JobKind::kReindex))));
  job.state = from_name(kStates, json.at("state").get<std::string>());
  job.progress = progress_from_json(json.at("progress"));
  if (!json.at("report").is_null()) job.report = report_from_json(json.at("report"));
  // Absent from what was written before there were experiments.
  if (json.contains("experiment") && !json["experiment"].is_null()) {
    job.experiment = experiment_from_json(json["experiment"]);
  }
  if (json.contains("tuning") && !json["tuning"].is_null()) {
    job.tuning = tuning_from_json(json["tuning"]);
  }
  json.at("error").get_to(job.error);
  json.at("created_at").get_to(job.created_at);
  json.at("finished_at").get_to(job.finished_at);
  return job;
} catch (const nlohmann::json::exception& error) {
  throw corruption(std::string("a stored job is malformed: ") + error.what());
}

nlohmann::json to_json(const index::IndexSpec& spec) {
  return {{"kind", spec.kind},
          {"nlist", spec.nlist},
          {"hnsw_m", spec.hnsw_m},
          {"ef_construction", spec.ef_construction},
          {"pq_bytes", spec.pq_bytes}};
}

index::IndexSpec index_spec_from_json(const nlohmann::json& json) try {
  index::IndexSpec spec;
  json.at("kind").get_to(spec.kind);
  json.at("nlist").get_to(spec.nlist);
  json.at("hnsw_m").get_to(spec.hnsw_m);
  json.at("ef_construction").get_to(spec.ef_construction);
  spec.pq_bytes = json.value("pq_bytes", spec.pq_bytes);  // not in what was stored before ivf_pq
  return spec;
} catch (const nlohmann::json::exception& error) {
  throw corruption(std::string("a stored index specification is malformed: ") + error.what());
}

nlohmann::json index_to_json(const IndexRequest& request) {
  nlohmann::json json = to_json(request.index);
  if (!request.tuned) return json;
  for (const GridParameter& parameter : grid_parameters()) {
    if (parameter.search == nullptr) continue;
    json["tuned"][std::string(parameter.name)] = request.search.*(parameter.search);
  }
  return json;
}

void index_from_json(const nlohmann::json& json, IndexRequest& request) try {
  request.index = index_spec_from_json(json);
  const auto tuned = json.find("tuned");
  request.tuned = tuned != json.end();
  if (!request.tuned) return;
  for (const GridParameter& parameter : grid_parameters()) {
    if (parameter.search == nullptr) continue;
    int& value = request.search.*(parameter.search);
    value = tuned->value(std::string(parameter.name), value);
  }
  request.search.validate();
} catch (const nlohmann::json::exception& error) {
  throw corruption(std::string("a stored index specification is malformed: ") + error.what());
}

}  // namespace vitrine::engine
