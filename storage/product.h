#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace vitrine::storage {

/// Limits of one record, in bytes of UTF-8; they bound what one product costs in memory and on
/// disk.
inline constexpr std::size_t kMaxIdBytes = 512;
inline constexpr std::size_t kMaxImageBytes = std::size_t{4} * 1024;
inline constexpr std::size_t kMaxCaptionBytes = std::size_t{8} * 1024;
/// Of the attributes printed as compact JSON.
inline constexpr std::size_t kMaxAttributesBytes = std::size_t{64} * 1024;

/// One record of a catalog.
struct Product {
  std::string id;  ///< unique in its catalog; no control characters
  /// A name the catalog's image source understands, such as "shoes/17.jpg"; upload_name() of an
  /// image that came with an update; empty when a client gave only its embedding.
  std::string image;
  std::string caption;                                   ///< never empty
  nlohmann::json attributes = nlohmann::json::object();  ///< every further key of the record

  bool operator==(const Product&) const = default;
};

/// Whether a product must name an image. One whose embedding a client computed need not have one.
enum class ImageName { kRequired, kOptional };

/// What keeps the product out of a catalog (missing or too long field, control characters,
/// malformed UTF-8), as a sentence that names the field and what would be right; empty: nothing.
std::string find_fault(const Product& product, ImageName image = ImageName::kRequired);
/// The same for an id alone.
std::string find_id_fault(std::string_view id);
/// And for one that comes from outside; what is stored may have been written by an older version.
std::string find_new_id_fault(std::string_view id);

}  // namespace vitrine::storage
