#include "storage/local_image_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "base/descriptor.h"
#include "base/error.h"
#include "base/text.h"
#include "storage/product.h"

namespace vitrine::storage {
namespace {

constexpr const char* kType = "local";

void check_name(const std::string& image) {
  if (image.empty() || image.size() > kMaxImageBytes || image.find('\0') != std::string::npos) {
    throw invalid_argument(fmt::format("image name \"{}\"; it must be 1 to {} bytes without NUL",
                                       printable(image), kMaxImageBytes));
  }
  const bool climbs = ("/" + image + "/").find("/../") != std::string::npos;
  if (image.starts_with('/') || climbs) {
    throw permission_denied(fmt::format(
        "image \"{}\" leaves its image folder; use a path relative to it, without \"..\"",
        printable(image)));
  }
}

Error open_error(const std::string& image, int number) {
  const std::string shown = printable(image);
  const std::string message = fmt::format("image \"{}\": {}", shown, std::strerror(number));
  switch (number) {
    case EXDEV:
      return permission_denied(fmt::format(
          "image \"{}\" is a symbolic link out of its image folder; copy the file into it", shown));
    case ENOENT:
    case ENOTDIR:
      return not_found(fmt::format("image \"{}\" does not exist in its image folder{}", shown,
                                   image.find("://") == std::string::npos
                                       ? ""
                                       : "; URLs are not fetched: download the images, and name "
                                         "each by its path in the folder"));
    case EACCES:
    case EPERM:
      return permission_denied(message);
    case ENXIO:  // a socket
    case ELOOP:
    case ENAMETOOLONG:
      return invalid_argument(message);
    case EAGAIN:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ETIMEDOUT:
      return unavailable(message);
    default:  // where it lies, the disk or its file system is broken
      return corruption(message);
  }
}

class LocalImageSource : public ImageSource {
 public:
  LocalImageSource(const ImageSourceSpec& spec, Confinement confinement)
      : confinement_(confinement), max_bytes_(spec.max_bytes) {
    std::error_code code;
    const auto folder = std::filesystem::canonical(spec.location, code);
    if (code == std::errc::no_such_file_or_directory ||
        (!code && !std::filesystem::is_directory(folder, code) && !code)) {
      throw not_found("image folder " + spec.location + " does not exist or is not a folder");
    }
    if (code) throw system_error("cannot open image folder", spec.location, code);
    location_ = folder.string();
    root_ = Descriptor(folder, O_PATH | O_DIRECTORY);
  }

  std::string read(const std::string& image) const override {
    check_name(image);
    const Descriptor file = open_beneath(root_, image, confinement_);
    if (!file.valid()) {
      const int number = errno;
      require_folder();
      throw open_error(image, number);
    }
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) throw open_error(image, errno);
    if (!S_ISREG(status.st_mode)) {
      throw invalid_argument(fmt::format("image \"{}\" is not a regular file", printable(image)));
    }
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (size == 0) {
      throw invalid_argument(fmt::format("image \"{}\" is an empty file", printable(image)));
    }
    if (size > max_bytes_) {
      throw resource_exhausted(fmt::format("image \"{}\" has {} bytes; at most {} are read",
                                           printable(image), size, max_bytes_));
    }
    std::string bytes(size, '\0');
    std::size_t filled = 0;
    while (filled < bytes.size()) {
      const ssize_t got = ::read(file.get(), bytes.data() + filled, bytes.size() - filled);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw open_error(image, errno);
      if (got == 0) break;  // truncated meanwhile: the decoder judges what is there
      filled += static_cast<std::size_t>(got);
    }
    bytes.resize(filled);
    return bytes;
  }

  const std::string& type() const override { return type_; }
  const std::string& location() const override { return location_; }

 private:
  /// That an image is not found tells nothing about it when the folder itself is gone, has given
  /// way to another (a mount, a new copy) or may not be searched: throws Unavailable.
  void require_folder() const {
    struct stat there {};
    struct stat opened {};
    // The dot is looked up in the folder, which asks for the right to.
    if (::stat((location_ + "/.").c_str(), &there) != 0) {
      throw unavailable(fmt::format("image folder {}: {}", location_, std::strerror(errno)));
    }
    if (::fstat(root_.get(), &opened) != 0 || there.st_dev != opened.st_dev ||
        there.st_ino != opened.st_ino) {
      throw unavailable(
          fmt::format("image folder {} is another one than was opened; open it again", location_));
    }
  }

  // Constant after construction.
  const std::string type_ = kType;
  const Confinement confinement_;
  const std::uint64_t max_bytes_;
  std::string location_;
  Descriptor root_;
};

}  // namespace

std::unique_ptr<ImageSource> open_local_image_source(const ImageSourceSpec& spec,
                                                     Confinement confinement) {
  return std::make_unique<LocalImageSource>(spec, confinement);
}

}  // namespace vitrine::storage
