#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace vitrine::storage {

/// Where the images of a catalog are.
struct ImageSourceSpec {
  std::string type = "local";  ///< one of image_source_types()
  std::string location;        ///< local: the folder that image names are relative to
  /// Largest image that is read, in bytes; valid: at least 1.
  std::uint64_t max_bytes = 64ull * 1024 * 1024;

  bool operator==(const ImageSourceSpec&) const = default;
};

/// Throws InvalidArgument naming the field.
void validate(const ImageSourceSpec& spec);

/// Reads images by the names that products carry. Thread-safe.
class ImageSource {
 public:
  virtual ~ImageSource() = default;

  /// The undecoded bytes. Throws NotFound, InvalidArgument (malformed name, not a regular file,
  /// empty file), PermissionDenied (unreadable, or outside the source), ResourceExhausted (more
  /// than max_bytes), Corruption (the disk does not give it), Unavailable (nothing can be read from
  /// the source now, or it is another one; open it again).
  virtual std::string read(const std::string& image) const = 0;
  virtual const std::string& type() const = 0;
  /// Independent of the working folder, so that it can be stored.
  virtual const std::string& location() const = 0;
};

/// Throws InvalidArgument for an unknown type, NotFound when the location does not exist.
std::unique_ptr<ImageSource> open_image_source(const ImageSourceSpec& spec);

std::vector<std::string> image_source_types();

}  // namespace vitrine::storage
