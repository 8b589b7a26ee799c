#pragma once

#include <string_view>

#include "http/message.h"

namespace vitrine::http {

/// Who may change catalogs and see jobs: the routes of Access::kAdmin. With a token: whoever sends
/// it as "Authorization: Bearer ...". Without: clients on this machine that are neither a proxy
/// speaking for others (Forwarded, Via, X-Forwarded-For and their kind; one that adds none of them
/// cannot be told from a client) nor a web page of a foreign site (Origin, Sec-Fetch-Site, a Host
/// that is no local name: DNS rebinding).
/// Throws Unauthenticated or PermissionDenied.
void require_admin(const Request& request, std::string_view admin_token);

/// Takes the same time wherever the two differ.
bool equal_in_constant_time(std::string_view a, std::string_view b);

}  // namespace vitrine::http
