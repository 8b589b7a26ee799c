#include <nlohmann/json.hpp>

#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/json_views.h"
#include "http/json.h"

namespace vitrine::http {

Response list_models(const Services& services, const Request&) {
  const encoder::Encoder& encoder = services.engine.encoder();
  const encoder::EncoderInfo info = encoder.info();
  const engine::EncoderUse use = services.engine.encoder_use();
  nlohmann::json model = {{"id", model_id(services.engine)},
                          {"object", "model"},
                          {"created", 0},
                          {"owned_by", "vitrine"},
                          {"architecture", info.architecture},
                          {"format", info.format},
                          {"dimension", info.dimension},
                          {"image_size", info.image_size},
                          {"context_length", info.context_length},
                          {"vocab_size", info.vocab_size},
                          {"parameters", info.parameters},
                          {"precision", info.precision},
                          {"device", info.device},
                          {"kernels", info.kernels},
                          {"threads", info.threads},
                          {"logit_scale", shortest(encoder.logit_scale())},
                          {"fingerprint", encoder.fingerprint()}};
  if (const auto bias = encoder.logit_bias()) model["logit_bias"] = shortest(*bias);
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
