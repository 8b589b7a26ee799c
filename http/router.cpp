#include "http/router.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "http/problem.h"
#include "http/url.h"

namespace vitrine::http {
namespace {

std::vector<std::string_view> segments_of(std::string_view path) {
  std::vector<std::string_view> segments;
  path.remove_prefix(1);
  while (true) {
    const std::size_t slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

bool is_parameter(std::string_view segment) { return segment.starts_with('{'); }

bool matches(const Route& route, const std::vector<std::string>& segments) {
  const std::vector<std::string_view> pattern = segments_of(route.pattern);
  if (pattern.size() != segments.size()) return false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (is_parameter(pattern[i]) ? segments[i].empty() : pattern[i] != segments[i]) return false;
  }
  return true;
}

}  // namespace

const Route& find_route(std::span<const Route> routes, Request& request) {
  std::vector<std::string> segments;
  for (const std::string_view segment : segments_of(request.path)) {
    segments.push_back(percent_decode(segment));
    if (segments.back() == "." || segments.back() == "..") {
      throw invalid_argument("the path contains the segment \"" + segments.back() +
                             "\"; write the path without it");
    }
  }
  std::string allowed;
  for (const Route& route : routes) {
    if (!matches(route, segments)) continue;
    if (route.method != request.method) {
      allowed += fmt::format("{}{}", allowed.empty() ? "" : ", ", route.method);
      if (route.method == "GET") allowed += ", HEAD";
      continue;
    }
    if (!request.query.empty() && route.pattern.starts_with("/v1/")) {
      throw invalid_argument(fmt::format(
          "this path takes no query parameters, but got \"?{}\"; options of a search or a "
          "classification are fields of the request's body",
          printable(request.query)));
    }
    const std::vector<std::string_view> pattern = segments_of(route.pattern);
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      if (!is_parameter(pattern[i])) continue;
      request.path_parameters.emplace(pattern[i].substr(1, pattern[i].size() - 2), segments[i]);
    }
    return route;
  }
  if (!allowed.empty()) {
    throw HttpError(405, "method_not_allowed",
                    fmt::format("{} is not allowed on {}; allowed: {}",
                                printable(request.method, 20), printable(request.path), allowed),
                    {{"Allow", allowed}});
  }
  throw not_found(
      fmt::format("nothing is at {}; GET / is the search page, and docs/openapi.yaml "
                  "lists the API's paths",
                  printable(request.path)));
}

}  // namespace vitrine::http
