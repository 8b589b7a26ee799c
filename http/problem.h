#pragma once

#include <exception>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "http/message.h"

namespace vitrine::http {

/// A failure that HTTP has a status for and ErrorCode has no word for (405, 415, 431, ...), or
/// whose 5xx detail is written for the client (queue full).
class HttpError : public std::runtime_error {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;

  /// name: lower-case name of the kind of failure, such as "method_not_allowed".
  HttpError(int status, std::string name, const std::string& detail, Headers headers = {})
      : std::runtime_error(detail),
        status_(status),
        name_(std::move(name)),
        headers_(std::move(headers)) {}

  int status() const { return status_; }
  const std::string& name() const { return name_; }
  const Headers& headers() const { return headers_; }

 private:
  int status_;
  std::string name_;
  Headers headers_;
};

/// "Bad Request" for 400, and so on; never empty.
std::string_view reason_phrase(int status);

/// An RFC 9457 application/problem+json answer: type, title, status, detail and request_id. The
/// one place that maps errors to status codes. A 5xx that is not an HttpError keeps its detail for
/// the log.
Response problem_response(std::exception_ptr error, std::string_view request_id);

/// The body of such an answer, for one that holds the failure of one of its parts. error: of a kind
/// that is the client's, with a status below 500.
nlohmann::json problem_json(const Error& error, std::string_view request_id);

}  // namespace vitrine::http
