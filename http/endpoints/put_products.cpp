#include <fmt/format.h>

#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/product_update.h"
#include "http/json.h"

namespace vitrine::http {
namespace {

using nlohmann::json;

engine::ProductUpdate read_item(json item, const std::string& where) {
  if (!item.is_object() || !item.contains("id") || !item["id"].is_string()) {
    throw invalid_argument(where + " must be an object with an \"id\", which is a string");
  }
  std::string id = item["id"].get<std::string>();
  item.erase("id");
  return read_product_update(std::move(id), std::move(item), where);
}

}  // namespace

Response put_products(const Services& services, const Request& request) {
  const std::string& name = request.path_parameter("catalog");
  FieldReader fields(parse_json_body(request), "the request");
  auto products = fields.value("products");
  fields.finish();
  if (!products || !products->is_array() || products->empty() ||
      products->size() > engine::kMaxUpdates) {
    throw invalid_argument(fmt::format(
        "the request must have \"products\", an array of 1 to {} products", engine::kMaxUpdates));
  }
  std::vector<engine::ProductUpdate> updates;
  for (json& item : *products) {
    updates.push_back(read_item(std::move(item), fmt::format("\"products[{}]\"", updates.size())));
  }
  const auto results = services.engine.upsert_products(name, updates);
  json written = json::array();
  for (std::size_t i = 0; i < results.size(); ++i) {
    written.push_back(update_json(updates[i].id, results[i]));
  }
  return json_response({{"products", std::move(written)}});
}

}  // namespace vitrine::http
