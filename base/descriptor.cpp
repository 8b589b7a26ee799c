#include "base/descriptor.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace vitrine {

Error system_error(const std::string& action, const std::filesystem::path& path) {
  return system_error(action, path, std::error_code(errno, std::generic_category()));
}

Error system_error(const std::string& action, const std::filesystem::path& path,
                   const std::error_code& code) {
  const std::string message = action + " " + path.string() + ": " + std::strerror(code.value());
  switch (code.value()) {
    case ENOENT:
    case ENOTDIR:
      return not_found(message);
    case EACCES:
    case EPERM:
      return permission_denied(message);
    default:
      return unavailable(message);
  }
}

Descriptor::Descriptor(const std::filesystem::path& path, int flags)
    : value_(::open(path.c_str(), flags | O_CLOEXEC)) {
  if (value_ < 0) throw system_error("cannot open", path);
}

Descriptor::~Descriptor() {
  if (value_ >= 0) ::close(value_);
}

Descriptor::Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(value_, other.value_);
  return *this;
}

std::uint64_t descriptor_limit() {
  struct rlimit limit {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

void raise_descriptor_limit() {
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::uint64_t regular_file_size(const Descriptor& file, const std::filesystem::path& path) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw system_error("cannot stat", path);
  if (!S_ISREG(status.st_mode)) throw invalid_argument(path.string() + " is not a regular file");
  return static_cast<std::uint64_t>(status.st_size);
}

}  // namespace vitrine
