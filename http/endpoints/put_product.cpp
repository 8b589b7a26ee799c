#include "base/error.h"
#include "base/text.h"
#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/product_update.h"
#include "http/json.h"
#include "http/multipart.h"

namespace vitrine::http {
namespace {

using nlohmann::json;

/// A form: "image" is a file; caption is text; attributes and embeddings are JSON.
engine::ProductUpdate read_form(const std::string& id, const Request& request) {
  json fields = json::object();
  std::optional<std::string> image_bytes;
  for (const FormPart& part : parse_multipart(request.header("content-type"), request.body)) {
    if (part.name == "image" && part.file_name) {
      image_bytes = image_file(part);
    } else if (part.name == "caption" || part.name == "image" || part.name == "image_base64") {
      fields[part.name] = form_text(part);
    } else {
      fields[printable(part.name)] = form_json(part);
    }
  }
  engine::ProductUpdate update = read_product_update(id, std::move(fields), "the form");
  if (image_bytes && (update.image || update.image_bytes)) {
    throw invalid_argument("the form has more than one image; give one of them");
  }
  if (image_bytes) update.image_bytes = std::move(image_bytes);
  return update;
}

}  // namespace

Response put_product(const Services& services, const Request& request) {
  const std::string& name = request.path_parameter("catalog");
  const std::string& id = request.path_parameter("id");
  const bool form = media_type(request.header("content-type")) == "multipart/form-data";
  const engine::ProductUpdate update =
      form ? read_form(id, request)
           : read_product_update(id, parse_json_body(request), "the product");
  const engine::UpdateResult result = services.engine.upsert_products(name, {&update, 1}).front();
  return json_response(update_json(id, result), result.existed ? 200 : 201);
}

}  // namespace vitrine::http
