#include "http/problem.h"

#include <new>

#include "base/error.h"
#include "base/text.h"
#include "http/json.h"

namespace vitrine::http {
namespace {

/// No default: the compiler names the code that was forgotten.
int status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return 400;
    case ErrorCode::kNotFound:
      return 404;
    case ErrorCode::kAlreadyExists:
    case ErrorCode::kFailedPrecondition:
      return 409;
    case ErrorCode::kResourceExhausted:
      return 413;
    case ErrorCode::kUnauthenticated:
      return 401;
    case ErrorCode::kPermissionDenied:
      return 403;
    case ErrorCode::kUnavailable:
    case ErrorCode::kCancelled:
      return 503;
    case ErrorCode::kDeadlineExceeded:
      return 504;
    case ErrorCode::kCorruption:
    case ErrorCode::kInternal:
      return 500;
  }
  return 500;
}

nlohmann::json fields(int status, std::string_view name, std::string_view detail,
                      std::string_view request_id) {
  return {{"type", "urn:vitrine:problem:" + std::string(name)},
          {"title", reason_phrase(status)},
          {"status", status},
          {"detail", detail},
          {"request_id", request_id}};
}

Response make(int status, std::string_view name, std::string_view detail,
              std::string_view request_id, const HttpError::Headers& headers) {
  Response response;
  response.status = status;
  response.content_type = "application/problem+json";
  response.headers = headers;
  response.body = dump(fields(status, name, detail, request_id));
  response.log_detail = detail;
  return response;
}

Response hidden(int status, std::string_view name, std::string_view request_id,
                std::string_view log_detail) {
  const std::string_view hint = status == 500   ? "The server failed to answer."
                                : status == 504 ? "The answer took too long; try again."
                                                : "The server cannot answer now; try again.";
  Response response =
      make(status, name,
           std::string(hint) + " Its log tells more under request " + std::string(request_id) + ".",
           request_id, {});
  if (status == 503) response.headers.emplace_back("Retry-After", "1");
  response.log_detail = log_detail;
  return response;
}

}  // namespace

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return status < 400 ? "OK" : status < 500 ? "Bad Request" : "Internal Server Error";
  }
}

Response problem_response(std::exception_ptr error, std::string_view request_id) {
  try {
    std::rethrow_exception(std::move(error));
  } catch (const HttpError& failure) {
    return make(failure.status(), failure.name(), failure.what(), request_id, failure.headers());
  } catch (const Error& failure) {
    const int status = status_of(failure.code());
    if (status >= 500) return hidden(status, to_string(failure.code()), request_id, failure.what());
    HttpError::Headers headers;
    if (status == 401) headers.emplace_back("WWW-Authenticate", "Bearer");
    return make(status, to_string(failure.code()), failure.what(), request_id, headers);
  } catch (const std::bad_alloc&) {
    return hidden(503, to_string(ErrorCode::kResourceExhausted), request_id, "out of memory");
  } catch (const std::exception& failure) {
    return hidden(500, to_string(ErrorCode::kInternal), request_id, failure.what());
  } catch (...) {
    return hidden(500, to_string(ErrorCode::kInternal), request_id, "an unknown exception");
  }
}

nlohmann::json problem_json(const Error& error, std::string_view request_id) {
  return fields(status_of(error.code()), to_string(error.code()), error.what(), request_id);
}

}  // namespace vitrine::http
