#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "http/router.h"

namespace vitrine::http {

/// Which pages of other origins may send requests and read answers, as browsers ask (CORS:
/// https://fetch.spec.whatwg.org/#http-cors-protocol). It opens Access::kPublic routes alone: a
/// page that changed catalogs would have to carry the admin token to all of its visitors.
/// Immutable.
class CorsPolicy {
 public:
  /// origins: see ServerOptions::cors_origins. Throws InvalidArgument naming what is no origin.
  explicit CorsPolicy(std::string_view origins);

  /// Whether a browser asks on behalf of a page, whose origin is allowed, if it may send a request
  /// of the method that Access-Control-Request-Method names.
  bool is_preflight(const Request& request) const;

  /// Lets pages of allowed origins read the answer, and tells caches that it depends on who asks.
  void open(const Request& request, Response& response) const;

 private:
  bool allows(std::string_view origin) const;

  // Constant after construction.
  bool any_;
  std::vector<std::string> origins_;
};

/// The answer to a preflight for a route, which lets the request come.
Response preflight_response(const Route& route);

}  // namespace vitrine::http
