#pragma once

#include <fcntl.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/error.h"

namespace vitrine {

/// What errno says about a file: NotFound, PermissionDenied, ResourceExhausted or Unavailable.
Error system_error(const std::string& action, const std::filesystem::path& path);

/// An open file, closed on destruction.
class Descriptor {
 public:
  /// O_NONBLOCK, so that opening a named pipe returns instead of waiting for its writer.
  static constexpr int kRead = O_RDONLY | O_NONBLOCK;

  /// flags: of open(2); O_CLOEXEC is added. Throws system_error().
  Descriptor(const std::filesystem::path& path, int flags);
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return value_; }

 private:
  const int value_;
};

/// In bytes. Throws InvalidArgument when it is no regular file.
std::uint64_t regular_file_size(const Descriptor& file, const std::filesystem::path& path);

}  // namespace vitrine
