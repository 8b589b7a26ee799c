#include "engine/filter/generation_attributes.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "engine/filter/attribute_index_builder.h"
#include "storage/database.h"
#include "storage/generation_store.h"
#include "storage/product_ids.h"

namespace vitrine::engine {
namespace {

/// Products that are read together.
constexpr std::size_t kBatch = 1024;

std::string build_attributes(const storage::Database& database, const std::string& catalog,
                             std::uint64_t generation, std::span<const std::string> ids) {
  AttributeIndexBuilder builder(ids.size());
  for (std::size_t begin = 0; begin < ids.size(); begin += kBatch) {
    const auto part = ids.subspan(begin, std::min(kBatch, ids.size() - begin));
    const auto products = database.get_products(catalog, generation, part);
    for (std::size_t i = 0; i < part.size(); ++i) {
      if (!products[i]) {
        throw corruption(fmt::format(
            "the record of product {} is missing from generation {} of catalog {}; reindex the "
            "catalog",
            printable(part[i]), generation, catalog));
      }
      builder.add(products[i]->attributes);
    }
  }
  return builder.finish();
}

}  // namespace

void write_attributes(const storage::Database& database, const std::string& catalog,
                      std::uint64_t generation, std::span<const std::string> ids,
                      const std::filesystem::path& folder) {
  write_file_atomically(folder / kAttributesFile,
                        build_attributes(database, catalog, generation, ids));
}

AttributeIndex open_attributes(const storage::Database& database, const storage::Manifest& manifest,
                               const storage::ProductIds& ids,
                               const std::filesystem::path& folder) {
  const bool written = std::ranges::any_of(manifest.files, [](const storage::GenerationFile& file) {
    return file.name == kAttributesFile;
  });
  if (written) return AttributeIndex::open(folder / kAttributesFile, ids.size());
  std::vector<std::string> copies;
  for (std::size_t row = 0; row < ids.size(); ++row) copies.emplace_back(ids.at(row));
  return AttributeIndex::from_bytes(
      build_attributes(database, manifest.catalog, manifest.generation, copies), ids.size(),
      fmt::format("the attributes of generation {} of catalog {}", manifest.generation,
                  manifest.catalog));
}

}  // namespace vitrine::engine
