#include "base/error.h"
#include "base/text.h"
#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/json_views.h"
#include "http/json.h"

namespace vitrine::http {

Response get_catalog(const Services& services, const Request& request) {
  const std::string& name = request.path_parameter("catalog");
  for (const engine::CatalogSummary& catalog : services.engine.catalogs()) {
    if (catalog.name == name) return json_response(catalog_json(catalog));
  }
  throw not_found("there is no catalog \"" + printable(name) + "\"; GET /v1/catalogs lists them");
}

}  // namespace vitrine::http
