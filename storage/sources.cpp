#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/text.h"
#include "storage/image_source.h"
#include "storage/local_image_source.h"

namespace vitrine::storage {
namespace {

struct SourceType {
  const char* name;
  std::unique_ptr<ImageSource> (*open)(const ImageSourceSpec&);
};

// A new type of image source is one line here.
constexpr SourceType kSourceTypes[] = {
    {"local", [](const ImageSourceSpec& spec) { return open_local_image_source(spec); }},
};

const SourceType& find_type(const std::string& name) {
  for (const SourceType& type : kSourceTypes) {
    if (name == type.name) return type;
  }
  throw invalid_argument(fmt::format("image source type \"{}\"; it must be one of: {}",
                                     printable(name), fmt::join(image_source_types(), ", ")));
}

}  // namespace

void validate(const ImageSourceSpec& spec) {
  find_type(spec.type);
  if (spec.location.empty() || spec.location.find('\0') != std::string::npos) {
    throw invalid_argument("image source location is empty or contains NUL; name the folder that " +
                           std::string("image names are relative to"));
  }
  if (spec.max_bytes == 0) {
    throw invalid_argument("image source max_bytes is 0; it must be at least 1");
  }
}

std::unique_ptr<ImageSource> open_image_source(const ImageSourceSpec& spec) {
  validate(spec);
  return find_type(spec.type).open(spec);
}

std::vector<std::string> image_source_types() {
  std::vector<std::string> names;
  for (const SourceType& type : kSourceTypes) names.emplace_back(type.name);
  return names;
}

}  // namespace vitrine::storage
