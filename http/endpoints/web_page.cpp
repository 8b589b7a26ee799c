#include <string>

#include "base/error.h"
#include "http/endpoints/endpoints.h"
#include "http/url.h"
#include "http/web_files.h"

namespace vitrine::http {
namespace {

std::string_view content_type_of(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  if (name.ends_with(".svg")) return "image/svg+xml";
  return "application/octet-stream";
}

}  // namespace

Response get_web_file(const Services&, const Request& request) {
  // Decoded, as the router compared it.
  const std::string path = percent_decode(request.path);
  const std::string_view name =
      path == "/" ? std::string_view("index.html") : std::string_view(path).substr(1);
  for (const WebFile& file : web_files()) {
    if (file.name != name) continue;
    Response response;
    response.content_type = content_type_of(name);
    response.headers = {
        {"Cache-Control", "no-cache"},
        {"Content-Security-Policy",
         "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
         "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"}};
    response.body = file.bytes;
    return response;
  }
  throw internal_error("the page's file " + std::string(name) + " was not compiled in");
}

}  // namespace vitrine::http
