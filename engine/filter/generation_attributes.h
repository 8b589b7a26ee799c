#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "engine/filter/attribute_index.h"

namespace vitrine::storage {
class Database;
class ProductIds;
struct Manifest;
}  // namespace vitrine::storage

namespace vitrine::engine {

/// Writes the attribute index of a generation whose product records are stored.
/// ids: by row. Throws Corruption when a record is missing, and what writing a file throws.
void write_attributes(const storage::Database& database, const std::string& catalog,
                      std::uint64_t generation, std::span<const std::string> ids,
                      const std::filesystem::path& folder);

/// Opens what write_attributes() wrote. For a generation that was built without it, which its
/// manifest shows, it is made in memory from the product records.
/// Throws Corruption when the file is damaged or a record is missing.
AttributeIndex open_attributes(const storage::Database& database, const storage::Manifest& manifest,
                               const storage::ProductIds& ids, const std::filesystem::path& folder);

}  // namespace vitrine::engine
