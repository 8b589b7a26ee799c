#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/experiment_request.h"
#include "http/endpoints/json_views.h"
#include "http/json.h"

namespace vitrine::http {

Response start_experiment(const Services& services, const Request& request) {
  FieldReader fields(request.body.empty() ? nlohmann::json::object() : parse_json_body(request),
                     "the experiment request");
  const engine::ExperimentRequest experiment =
      read_experiment(fields, request.path_parameter("catalog"));
  fields.finish();
  return job_started(services.engine, services.engine.start_experiment(experiment));
}

}  // namespace vitrine::http
