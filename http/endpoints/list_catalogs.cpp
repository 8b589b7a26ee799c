#include <nlohmann/json.hpp>

#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/json_views.h"
#include "http/json.h"

namespace vitrine::http {

Response list_catalogs(const Services& services, const Request&) {
  nlohmann::json catalogs = nlohmann::json::array();
  for (const engine::CatalogSummary& catalog : services.engine.catalogs()) {
    catalogs.push_back(catalog_json(catalog));
  }
  return json_response({{"catalogs", std::move(catalogs)}});
}

}  // namespace vitrine::http
