#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "base/file.h"
#include "storage/product.h"

namespace vitrine::storage {

/// Writes a catalog file of JSON lines, which read_catalog() reads as the same products, some at a
/// time. Not thread-safe.
class CatalogWriter {
 public:
  /// Throws what AtomicFile throws, as every method does.
  explicit CatalogWriter(const std::filesystem::path& path) : file_(path) {}

  /// Throws FailedPrecondition for an attribute that has the name of a field, "image" for example,
  /// which a record could not tell from it.
  void add(std::span<const Product> products);
  /// The last call.
  void commit() { file_.commit(); }

 private:
  AtomicFile file_;
};

}  // namespace vitrine::storage
