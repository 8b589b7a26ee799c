#include "storage/confined_open.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <string_view>
#include <vector>

namespace vitrine::storage {
namespace {

constexpr int kReadFlags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
constexpr int kMaxLinks = 40;    // as the kernel allows in one path
constexpr int kMaxRetries = 64;  // a rename anywhere may make openat2 answer EAGAIN

Descriptor fail(int number) {
  errno = number;
  return Descriptor();
}

int call_openat2(int root, const char* name, int flags) {
  open_how how{};
  how.flags = static_cast<unsigned>(flags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, root, name, &how, sizeof(how)));
}

Descriptor open_by_kernel(int root, const std::string& name) {
  for (int attempt = 0; attempt < kMaxRetries; ++attempt) {
    const int descriptor = call_openat2(root, name.c_str(), kReadFlags);
    if (descriptor >= 0 || (errno != EAGAIN && errno != EINTR)) return Descriptor(descriptor);
  }
  return Descriptor();
}

/// Puts the components of path in front of those still to walk.
void prepend(std::deque<std::string>& pending, std::string_view path) {
  std::vector<std::string> components;
  while (!path.empty()) {
    const std::size_t length = std::min(path.find('/'), path.size());
    if (length > 0) components.emplace_back(path.substr(0, length));
    path.remove_prefix(std::min(length + 1, path.size()));
  }
  pending.insert(pending.begin(), components.begin(), components.end());
}

Descriptor open_by_walk(int root, const std::string& name) {
  if (name.starts_with('/')) return fail(EXDEV);
  std::deque<std::string> pending;
  prepend(pending, name);
  std::vector<Descriptor> folders;  // from below the root down; ".." goes back to the one before
  int links = 0;
  while (!pending.empty()) {
    const std::string component = std::move(pending.front());
    pending.pop_front();
    const int folder = folders.empty() ? root : folders.back().get();
    if (component == ".") continue;
    if (component == "..") {
      if (folders.empty()) return fail(EXDEV);
      folders.pop_back();
      continue;
    }
    struct stat status {};
    if (::fstatat(folder, component.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return Descriptor();
    }
    if (S_ISLNK(status.st_mode)) {
      if (++links > kMaxLinks) return fail(ELOOP);
      std::string target(PATH_MAX, '\0');
      const ssize_t length = ::readlinkat(folder, component.c_str(), target.data(), target.size());
      if (length < 0) return Descriptor();
      target.resize(static_cast<std::size_t>(length));
      if (target.starts_with('/')) return fail(EXDEV);
      prepend(pending, target);
      continue;
    }
    // O_NOFOLLOW: had the component become a link since, this fails instead of following it.
    if (pending.empty()) {
      return Descriptor(::openat(folder, component.c_str(), kReadFlags | O_NOFOLLOW));
    }
    Descriptor next(
        ::openat(folder, component.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next.valid()) return Descriptor();
    folders.push_back(std::move(next));
  }
  const int folder = folders.empty() ? root : folders.back().get();
  return Descriptor(::openat(folder, ".", kReadFlags | O_DIRECTORY));
}

}  // namespace

Confinement best_confinement() {
  const Descriptor probe(call_openat2(AT_FDCWD, ".", O_PATH | O_CLOEXEC));
  return probe.valid() ? Confinement::kKernel : Confinement::kWalk;
}

Descriptor open_beneath(const Descriptor& root, const std::string& name, Confinement confinement) {
  switch (confinement) {
    case Confinement::kKernel:
      return open_by_kernel(root.get(), name);
    case Confinement::kWalk:
      return open_by_walk(root.get(), name);
  }
  return fail(EINVAL);
}

}  // namespace vitrine::storage
