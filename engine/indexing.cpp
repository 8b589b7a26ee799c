#include "engine/indexing.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/error.h"
#include "base/text.h"
#include "storage/database.h"

namespace vitrine::engine {

namespace {

void check_files(const storage::VectorFiles& vectors, const std::string& catalog) {
  if (vectors.images.empty()) {
    throw invalid_argument("no file of image vectors was named for catalog " + catalog);
  }
  for (const std::string& file : {vectors.images, vectors.captions, vectors.ids}) {
    std::error_code error;
    if (file.empty() || std::filesystem::exists(file, error)) continue;
    throw not_found(fmt::format(
        "there is no file {}, from which the vectors of catalog {} are to come; put it there, or "
        "index the catalog with another file or from its images",
        printable(file, 500), catalog));
  }
}

}  // namespace

void validate(const IndexRequest& request) {
  storage::check_catalog_name(request.name);
  if (request.catalog_file.empty()) {
    throw invalid_argument("no catalog file was named for catalog " + request.name);
  }
  std::error_code error;
  if (!std::filesystem::exists(request.catalog_file, error)) {
    throw not_found("there is no catalog file " + printable(request.catalog_file, 500));
  }
  if (request.vectors) check_files(*request.vectors, request.name);
  request.index.validate();
  request.search.validate();
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
    case IndexStage::kMeasuring:
      return "measuring";
  }
  return "unknown";
}

}  // namespace vitrine::engine
