#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/json_views.h"
#include "http/json.h"
#include "http/url.h"

namespace vitrine::http {

Response start_merge(const Services& services, const Request& request) {
  const std::string id = services.engine.start_merge(request.path_parameter("catalog"));
  Response response = json_response(job_json(services.engine.job(id)), 202);
  response.headers.emplace_back("Location", "/v1/admin/jobs/" + percent_encode(id));
  return response;
}

}  // namespace vitrine::http
