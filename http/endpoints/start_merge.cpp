#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/json_views.h"
#include "http/json.h"

namespace vitrine::http {

Response start_merge(const Services& services, const Request& request) {
  require_no_fields(request, "the merge request");
  return job_started(services.engine,
                     services.engine.start_merge(request.path_parameter("catalog")));
}

}  // namespace vitrine::http
