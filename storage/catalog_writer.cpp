#include "storage/catalog_writer.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"

namespace vitrine::storage {
namespace {

nlohmann::json record_of(const Product& product) {
  nlohmann::json record = product.attributes;
  for (const char* field : {"id", "image", "caption"}) {
    if (!record.contains(field)) continue;
    throw failed_precondition(fmt::format(
        "product \"{}\" has an attribute named \"{}\", which a catalog file cannot hold; give the "
        "attribute another name",
        printable(product.id), field));
  }
  record["id"] = product.id;
  if (!product.image.empty()) record["image"] = product.image;
  record["caption"] = product.caption;
  return record;
}

}  // namespace

void CatalogWriter::add(std::span<const Product> products) {
  std::string lines;
  for (const Product& product : products) {
    lines += record_of(product).dump();
    lines += '\n';
  }
  file_.write(lines);
}

}  // namespace vitrine::storage
