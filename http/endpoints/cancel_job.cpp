#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/json_views.h"
#include "http/json.h"

namespace vitrine::http {

Response cancel_job(const Services& services, const Request& request) {
  require_no_fields(request, "the request to cancel");
  const std::string& id = request.path_parameter("id");
  services.engine.cancel_job(id);
  return json_response(job_json(services.engine.job(id)), 202);
}

}  // namespace vitrine::http
