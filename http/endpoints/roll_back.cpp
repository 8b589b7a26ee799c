#include <limits>

#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/json_views.h"
#include "http/json.h"

namespace vitrine::http {

Response roll_back(const Services& services, const Request& request) {
  FieldReader fields(request.body.empty() ? nlohmann::json::object() : parse_json_body(request),
                     "the rollback request");
  const std::optional<int> generation =
      fields.integer("generation", 1, std::numeric_limits<int>::max());
  fields.finish();
  return json_response(
      catalog_json(services.engine.roll_back(request.path_parameter("catalog"), generation)));
}

}  // namespace vitrine::http
