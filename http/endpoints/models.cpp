#include <nlohmann/json.hpp>

#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/json_views.h"
#include "http/json.h"

namespace vitrine::http {

Response list_models(const Services& services, const Request&) {
  const engine::EncoderUse use = services.engine.encoder_use();
  nlohmann::json model = encoder_json(services.engine.encoder());
  model["id"] = model_id(services.engine);
  model["object"] = "model";
  model["created"] = 0;
  model["owned_by"] = "vitrine";
  model["batching"] = {
      {"texts", use.batching.texts},     {"text_passes", use.batching.text_passes},
      {"images", use.batching.images},   {"image_passes", use.batching.image_passes},
      {"waiting", use.batching.waiting}, {"indexing_waiting", use.batching.indexing_waiting},
      {"refused", use.batching.refused}};
  model["query_cache"] = {{"hits", use.cache.hits},
                          {"misses", use.cache.misses},
                          {"entries", use.cache.entries},
                          {"bytes", use.cache.bytes},
                          {"max_bytes", use.cache.max_bytes}};
  return json_response({{"object", "list"}, {"data", nlohmann::json::array({model})}});
}

}  // namespace vitrine::http
