#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/json_views.h"
#include "http/json.h"

namespace vitrine::http {

Response get_job(const Services& services, const Request& request) {
  return json_response(job_json(services.engine.job(request.path_parameter("id"))));
}

}  // namespace vitrine::http
