#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/json_views.h"
#include "http/json.h"

namespace vitrine::http {

Response list_generations(const Services& services, const Request& request) {
  nlohmann::json generations = nlohmann::json::array();
  for (const engine::GenerationSummary& each :
       services.engine.generations(request.path_parameter("catalog"))) {
    generations.push_back({{"generation", each.generation},
                           {"served", each.served},
                           {"problem", text_or_null(each.problem)},
                           {"products", each.products},
                           {"index", each.index_kind},
                           {"catalog_file", each.catalog_file},
                           {"created_at", each.created_at},
                           {"encoder_fingerprint", each.encoder_fingerprint}});
  }
  return json_response({{"generations", std::move(generations)}});
}

}  // namespace vitrine::http
