#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/json_views.h"
#include "http/json.h"

namespace vitrine::http {

Response list_jobs(const Services& services, const Request&) {
  nlohmann::json jobs = nlohmann::json::array();
  for (const engine::JobStatus& job : services.engine.jobs()) {
    nlohmann::json item = job_json(job);
    // A list of jobs stays small: failures and measurements are in the job itself.
    if (item["report"].is_object()) {
      item["report"].erase("failures");
      item["report"].erase("measurements");
    }
    jobs.push_back(std::move(item));
  }
  return json_response({{"jobs", std::move(jobs)}});
}

}  // namespace vitrine::http
