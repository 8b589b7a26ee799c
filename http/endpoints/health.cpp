#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/json.h"
#include "http/problem.h"

namespace vitrine::http {

Response get_health(const Services&, const Request&) { return json_response({{"status", "ok"}}); }

Response get_readiness(const Services& services, const Request&) {
  if (services.draining) {
    throw HttpError(503, "unavailable", "the server is about to stop", {{"Retry-After", "5"}});
  }
  if (!services.engine.is_ready()) {
    throw HttpError(503, "unavailable", "no catalog can be searched; GET /v1/catalogs says why");
  }
  return json_response({{"status", "ready"}});
}

}  // namespace vitrine::http
