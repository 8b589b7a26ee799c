#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitrine::http {

/// One request, free of the transport: what an endpoint sees.
struct Request {
  std::string method;  ///< "GET", "POST", ...; HEAD arrives as "GET"
  std::string path;    ///< as sent, without the query
  std::string query;   ///< as sent, without the "?"
  /// Percent-decoded, well-formed UTF-8, by the names in the route's pattern.
  std::map<std::string, std::string, std::less<>> path_parameters;
  /// Names in lower case, in the order they were sent.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string id;                 ///< names the request in answers and in the log
  bool peer_is_loopback = false;  ///< the connection comes from this machine

  /// The first header of that (lower-case) name; empty when there is none.
  std::string_view header(std::string_view name) const;
  bool has_header(std::string_view name) const;
  /// A parameter of the route's pattern, which must have it.
  const std::string& path_parameter(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type;  ///< empty: the answer has no body
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  /// What went wrong, for the log. May say more than the body; never sent itself.
  std::string log_detail;
};

/// Case-insensitive comparison of ASCII text.
bool equal_ignoring_case(std::string_view a, std::string_view b);
/// Without spaces and tabs at either end.
std::string_view trimmed(std::string_view text);
std::string lower_case(std::string_view text);

/// The value of a Content-Type without its parameters, in lower case: "multipart/form-data".
std::string media_type(std::string_view content_type);
/// A parameter of a header such as `form-data; name="a"`, unquoted. The name is in lower case.
/// Throws InvalidArgument when the parameters are malformed or name it twice.
std::optional<std::string> header_parameter(std::string_view header, std::string_view name);

}  // namespace vitrine::http
