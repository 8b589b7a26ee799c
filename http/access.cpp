#include "http/access.h"

#include <algorithm>

#include "base/error.h"
#include "base/sha256.h"

namespace vitrine::http {
namespace {

/// host: a name or an address, and a port or none.
bool is_local_host(std::string_view host) {
  constexpr std::string_view kLocalIpv6 = "[::1]";
  if (host.starts_with(kLocalIpv6)) {
    return host.size() == kLocalIpv6.size() || host[kLocalIpv6.size()] == ':';
  }
  const std::string_view name = host.substr(0, host.find(':'));
  return equal_ignoring_case(name, "localhost") ||
         (name.starts_with("127.") &&
          name.find_first_not_of("0123456789.") == std::string_view::npos);
}

/// Whether the request came through a proxy, as far as it tells: one on this machine makes every
/// client look local.
bool was_forwarded(const Request& request) {
  constexpr std::string_view kProxyHeaders[] = {
      "forwarded", "via", "x-real-ip", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"};
  return std::ranges::any_of(kProxyHeaders,
                             [&](std::string_view name) { return request.has_header(name); });
}

void refuse_unless_local(const Request& request) {
  constexpr std::string_view kWayOut =
      "; set server.admin_token and send it as Authorization: Bearer <token>";
  if (!request.peer_is_loopback || was_forwarded(request)) {
    throw permission_denied("without a token only this machine may manage catalogs" +
                            std::string(kWayOut));
  }
  if (!is_local_host(request.header("host"))) {
    throw permission_denied("without a token this path must be called as localhost or 127.0.0.1" +
                            std::string(kWayOut));
  }
  const std::string_view origin = request.header("origin");
  const std::string_view site = request.header("sec-fetch-site");
  const bool foreign_origin =
      !origin.empty() && origin != "http://" + std::string(request.header("host"));
  if (foreign_origin || (!site.empty() && site != "same-origin" && site != "none")) {
    throw permission_denied("without a token pages of other sites may not manage catalogs" +
                            std::string(kWayOut));
  }
}

}  // namespace

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  // Digests have one length, so that not even the token's length shows.
  const Sha256Digest left = sha256(a);
  const Sha256Digest right = sha256(b);
  unsigned difference = 0;
  for (std::size_t i = 0; i < left.size(); ++i) difference |= left[i] ^ right[i];
  return difference == 0;
}

void require_admin(const Request& request, std::string_view admin_token) {
  if (admin_token.empty()) {
    refuse_unless_local(request);
    return;
  }
  constexpr std::string_view kScheme = "bearer ";
  const std::string_view header = request.header("authorization");
  const bool bearer = header.size() > kScheme.size() &&
                      equal_ignoring_case(header.substr(0, kScheme.size()), kScheme);
  if (!bearer) {
    throw Error(ErrorCode::kUnauthenticated,
                "this path needs the admin token as Authorization: Bearer <token>");
  }
  if (!equal_in_constant_time(trimmed(header.substr(kScheme.size())), admin_token)) {
    throw Error(ErrorCode::kUnauthenticated, "the admin token is wrong");
  }
}

}  // namespace vitrine::http
