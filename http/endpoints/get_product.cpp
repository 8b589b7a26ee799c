#include "base/error.h"
#include "base/text.h"
#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/json_views.h"
#include "http/json.h"

namespace vitrine::http {

Response get_product(const Services& services, const Request& request) {
  const std::string& name = request.path_parameter("catalog");
  const std::string& id = request.path_parameter("id");
  const auto product = services.engine.catalog(name)->product(id);
  if (!product) {
    throw not_found("the catalog \"" + name + "\" has no product \"" + printable(id) + "\"");
  }
  return json_response(product_json(name, *product));
}

}  // namespace vitrine::http
