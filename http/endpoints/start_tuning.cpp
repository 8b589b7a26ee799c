#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/experiment_request.h"
#include "http/endpoints/json_views.h"
#include "http/json.h"

namespace vitrine::http {

Response start_tuning(const Services& services, const Request& request) {
  FieldReader fields(request.body.empty() ? nlohmann::json::object() : parse_json_body(request),
                     "the tuning request");
  engine::TuningRequest tuning;
  tuning.experiment = read_experiment(fields, request.path_parameter("catalog"));
  const auto number = [&](const char* name) -> std::optional<double> {
    const std::optional<float> value = fields.number(name);
    return value ? std::optional(shortest(*value)) : std::nullopt;
  };
  tuning.goal.recall = number("recall").value_or(tuning.goal.recall);
  tuning.goal.bytes_per_vector = number("bytes_per_vector");
  tuning.goal.p99_ms = number("latency_ms");
  tuning.memory_mib = number("memory_mb");
  tuning.apply = !fields.boolean("dry_run").value_or(false);
  fields.finish();
  return job_started(services.engine, services.engine.start_tuning(tuning));
}

}  // namespace vitrine::http
