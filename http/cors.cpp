#include "http/cors.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"

namespace vitrine::http {
namespace {

constexpr std::string_view kDigits = "0123456789";

bool consists_of(std::string_view text, std::string_view characters) {
  return !text.empty() && text.find_first_not_of(characters) == std::string_view::npos;
}

/// Whether it is what a browser may send: compared byte by byte, anything else would never match.
bool is_origin(std::string_view text) {
  const bool secure = text.starts_with("https://");
  if (!secure && !text.starts_with("http://")) return false;
  text.remove_prefix(text.find("//") + 2);
  const bool ipv6 = text.starts_with('[');
  const std::size_t colon = text.find(':', ipv6 ? text.find(']') : 0);
  const std::string_view host = text.substr(0, colon);
  const bool has_host = ipv6 ? host.ends_with(']') && consists_of(host, "[:.]0123456789abcdef")
                             : consists_of(host, "abcdefghijklmnopqrstuvwxyz0123456789-._");
  if (!has_host || colon == std::string_view::npos) return has_host;
  const std::string_view port = text.substr(colon + 1);
  return consists_of(port, kDigits) && port != (secure ? "443" : "80");
}

}  // namespace

CorsPolicy::CorsPolicy(std::string_view origins) : any_(trimmed(origins) == "*") {
  if (any_ || origins.empty()) return;
  while (true) {
    const std::size_t comma = origins.find(',');
    const std::string_view origin = trimmed(origins.substr(0, comma));
    if (!is_origin(origin)) {
      throw invalid_argument(fmt::format(
          "server.cors_origins names \"{}\"; it must be \"*\" alone, or origins as browsers send "
          "them, with commas between: http:// or https://, a host in lower case, a port unless it "
          "is the scheme's own, and no slash after it, such as https://shop.example",
          printable(origin)));
    }
    origins_.emplace_back(origin);
    if (comma == std::string_view::npos) return;
    origins.remove_prefix(comma + 1);
  }
}

bool CorsPolicy::allows(std::string_view origin) const {
  return any_ || std::ranges::find(origins_, origin) != origins_.end();
}

bool CorsPolicy::is_preflight(const Request& request) const {
  return request.method == "OPTIONS" && request.has_header("origin") &&
         request.has_header("access-control-request-method") && allows(request.header("origin"));
}

void CorsPolicy::open(const Request& request, Response& response) const {
  if (!any_ && origins_.empty()) return;
  // Whoever asks: what a cache keeps for a page may have been asked for without an origin.
  if (!any_) response.headers.emplace_back("Vary", "Origin");
  const std::string_view origin = request.header("origin");
  if (!allows(origin)) return;
  response.headers.emplace_back("Access-Control-Allow-Origin", any_ ? "*" : origin);
  response.headers.emplace_back("Access-Control-Expose-Headers", "ETag, Retry-After, X-Request-Id");
}

Response preflight_response(const Route& route) {
  Response response;
  response.status = 204;
  response.headers = {
      {"Access-Control-Allow-Methods", std::string(route.method)},
      {"Access-Control-Allow-Headers", "Authorization, Content-Type, If-None-Match, X-Request-Id"},
      {"Access-Control-Max-Age", "7200"}};  // more than two hours Chromium does not remember
  return response;
}

}  // namespace vitrine::http
