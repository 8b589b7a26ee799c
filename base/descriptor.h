#pragma once

#include <fcntl.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>

#include "base/error.h"

namespace vitrine {

/// What errno, or a code with an errno's meaning, says about a file: NotFound, PermissionDenied or
/// Unavailable.
Error system_error(const std::string& action, const std::filesystem::path& path);
Error system_error(const std::string& action, const std::filesystem::path& path,
                   const std::error_code& code);

/// A file descriptor, closed on destruction; or none.
class Descriptor {
 public:
  /// O_NONBLOCK, so that opening a named pipe returns instead of waiting for its writer.
  static constexpr int kRead = O_RDONLY | O_NONBLOCK;

  Descriptor() = default;
  /// Owns it from now on; a negative one is none.
  explicit Descriptor(int value) : value_(value) {}
  /// flags: of open(2); O_CLOEXEC is added. Throws system_error().
  Descriptor(const std::filesystem::path& path, int flags);
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return value_; }
  bool valid() const { return value_ >= 0; }

 private:
  int value_ = -1;
};

/// How many descriptors the process may have open.
std::uint64_t descriptor_limit();
/// Raises it as far as the process may, which many systems leave to programs: the usual 1024 is for
/// those that use select(). Where it may not, nothing changes.
void raise_descriptor_limit();

/// In bytes. Throws InvalidArgument when it is no regular file.
std::uint64_t regular_file_size(const Descriptor& file, const std::filesystem::path& path);

}  // namespace vitrine
