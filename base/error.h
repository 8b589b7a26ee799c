#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace vitrine {

/// What kind of failure ended an operation. The edges map it once: http/ to a status code, cli/ to
/// an exit code.
enum class ErrorCode {
  kInvalidArgument,     ///< the caller's input is wrong, whatever the state of the system
  kNotFound,            ///< the named thing does not exist
  kAlreadyExists,       ///< the named thing exists and must not
  kFailedPrecondition,  ///< valid input, but not in the present state (no generation yet, ...)
  kResourceExhausted,   ///< a limit of size or count that a smaller input would keep
  kUnavailable,         ///< try again later (queue full, draining, locked, disk full)
  kDeadlineExceeded,    ///< took longer than allowed
  kCorruption,          ///< stored or foreign data is damaged
  kUnauthenticated,     ///< no valid credentials
  kPermissionDenied,    ///< not allowed, whoever asks (a path outside the image root, ...)
  kCancelled,           ///< stopped on request
  kInternal,            ///< a bug, or a third party's unexpected failure
};

/// Lower-case name with underscores, such as "invalid_argument".
std::string_view to_string(ErrorCode code);

/// The one exception of Vitrine. The message says what was wrong, where, and what would be right;
/// it may be shown to the caller unless the code is kInternal.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

/// Shorthands, so that a throw reads as a sentence: `throw invalid_argument("k is 0; ...")`.
Error invalid_argument(const std::string& message);
Error not_found(const std::string& message);
Error already_exists(const std::string& message);
Error failed_precondition(const std::string& message);
Error resource_exhausted(const std::string& message);
Error unavailable(const std::string& message);
Error corruption(const std::string& message);
Error permission_denied(const std::string& message);
Error cancelled(const std::string& message);
Error internal_error(const std::string& message);

}  // namespace vitrine
