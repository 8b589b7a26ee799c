#include "base/error.h"
#include "base/sha256.h"
#include "base/text.h"
#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/media_type.h"

namespace vitrine::http {
namespace {

/// Whether If-None-Match holds the tag, weakly compared (RFC 9110, section 13.1.2).
bool has_tag(std::string_view header, std::string_view tag) {
  while (!header.empty()) {
    const std::size_t comma = header.find(',');
    std::string_view item = trimmed(header.substr(0, comma));
    if (item == "*") return true;
    if (item.starts_with("W/")) item.remove_prefix(2);
    if (item == tag) return true;
    if (comma == std::string_view::npos) return false;
    header.remove_prefix(comma + 1);
  }
  return false;
}

}  // namespace

Response get_product_image(const Services& services, const Request& request) {
  const std::string& name = request.path_parameter("catalog");
  const std::string& id = request.path_parameter("id");
  const auto catalog = services.engine.catalog(name);
  const auto product = catalog->product(id);
  if (!product) {
    throw not_found("the catalog \"" + name + "\" has no product \"" + printable(id) + "\"");
  }
  Response response;
  response.body = catalog->read_image(*product);
  const std::string tag = '"' + to_hex(sha256(response.body)).substr(0, 32) + '"';
  // A file of the shop's must never run as a page of this origin, whatever it holds.
  response.content_type = std::string(sniff_image_type(response.body));
  response.headers = {{"ETag", tag},
                      {"Cache-Control", "max-age=60"},
                      {"Content-Security-Policy", "default-src 'none'; sandbox"}};
  if (has_tag(request.header("if-none-match"), tag)) {
    response.status = 304;
    response.body.clear();
    response.content_type.clear();
  }
  return response;
}

}  // namespace vitrine::http
