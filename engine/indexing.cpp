#include "engine/indexing.h"

#include "base/error.h"
#include "base/text.h"
#include "storage/database.h"

#include <filesystem>

namespace vitrine::engine {

void validate(const IndexRequest& request) {
  storage::check_catalog_name(request.name);
  if (request.catalog_file.empty()) {
    throw invalid_argument("no catalog file was named for catalog " + request.name);
  }
  std::error_code error;
  if (!std::filesystem::exists(request.catalog_file, error)) {
    throw not_found("there is no catalog file " + printable(request.catalog_file, 500));
  }
  request.index.validate();
  // An empty location stands for the catalog file's folder; the other fields hold all the same.
  storage::ImageSourceSpec source = request.image_source;
  if (source.location.empty()) source.location.assign(1, '.');
  storage::validate(source);
}

std::string_view to_string(IndexStage stage) {
  switch (stage) {
    case IndexStage::kReading:
      return "reading";
    case IndexStage::kEncoding:
      return "encoding";
    case IndexStage::kBuilding:
      return "building";
    case IndexStage::kPublishing:
      return "publishing";
  }
  return "unknown";
}

}  // namespace vitrine::engine
