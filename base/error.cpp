#include "base/error.h"

namespace vitrine {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kAlreadyExists:
      return "already_exists";
    case ErrorCode::kFailedPrecondition:
      return "failed_precondition";
    case ErrorCode::kResourceExhausted:
      return "resource_exhausted";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kDeadlineExceeded:
      return "deadline_exceeded";
    case ErrorCode::kCorruption:
      return "corruption";
    case ErrorCode::kUnauthenticated:
      return "unauthenticated";
    case ErrorCode::kPermissionDenied:
      return "permission_denied";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

Error invalid_argument(const std::string& message) {
  return {ErrorCode::kInvalidArgument, message};
}
Error not_found(const std::string& message) { return {ErrorCode::kNotFound, message}; }
Error already_exists(const std::string& message) { return {ErrorCode::kAlreadyExists, message}; }
Error failed_precondition(const std::string& message) {
  return {ErrorCode::kFailedPrecondition, message};
}
Error resource_exhausted(const std::string& message) {
  return {ErrorCode::kResourceExhausted, message};
}
Error unavailable(const std::string& message) { return {ErrorCode::kUnavailable, message}; }
Error corruption(const std::string& message) { return {ErrorCode::kCorruption, message}; }
Error permission_denied(const std::string& message) {
  return {ErrorCode::kPermissionDenied, message};
}
Error cancelled(const std::string& message) { return {ErrorCode::kCancelled, message}; }
Error internal_error(const std::string& message) { return {ErrorCode::kInternal, message}; }

}  // namespace vitrine
