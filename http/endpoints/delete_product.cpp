#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/json.h"

namespace vitrine::http {

Response delete_product(const Services& services, const Request& request) {
  require_no_fields(request, "the deletion");
  const std::string& name = request.path_parameter("catalog");
  const std::string& id = request.path_parameter("id");
  const engine::UpdateResult result = services.engine.delete_products(name, {&id, 1}).front();
  return json_response({{"id", id}, {"sequence", result.sequence}});
}

}  // namespace vitrine::http
