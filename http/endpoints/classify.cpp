#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "base/error.h"
#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/image_request.h"
#include "http/endpoints/json_views.h"
#include "http/image_text.h"
#include "http/json.h"

namespace vitrine::http {
namespace {

nlohmann::json form_value(const FormPart& part) {
  if (part.name == "labels") return form_json(part);
  return form_text(part);
}

}  // namespace

Response classify(const Services& services, const Request& request) {
  ImageRequest given = read_image_request(request, form_value);
  FieldReader fields(std::move(given.fields), "the classification request");
  engine::ClassifyRequest query;
  query.image_bytes = std::move(given.image_bytes);
  if (const auto image = fields.string("image")) {
    query.image_bytes = decode_image_text(*image, "\"image\"");
  }
  query.catalog = fields.string("catalog");
  query.product_id = fields.string("product_id");
  const auto labels = fields.strings("labels");
  query.prompt_template = fields.string("prompt_template").value_or(query.prompt_template);
  fields.finish();

  const bool by_product = query.catalog || query.product_id;
  if (query.image_bytes.has_value() == by_product ||
      query.catalog.has_value() != query.product_id.has_value()) {
    throw invalid_argument(
        "the classification request must have either \"image\", or \"catalog\" and "
        "\"product_id\"");
  }
  if (!labels) {
    throw invalid_argument(
        "the classification request has no \"labels\"; it must have an array of strings");
  }
  query.labels = *labels;

  return json_response(classification_json(services.engine.classify(query)));
}

}  // namespace vitrine::http
