#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "storage/update.h"

namespace vitrine::engine {

/// Most products of one call that updates.
inline constexpr std::size_t kMaxUpdates = 1000;

/// A product to be added or changed. What is left out, a product that exists keeps. A new one needs
/// a caption, and an image or an image embedding.
struct ProductUpdate {
  std::string id;
  std::optional<std::string> caption;
  /// A JSON object; replaces all attributes.
  std::optional<nlohmann::json> attributes;
  /// The name of an image that the catalog's image source has.
  std::optional<std::string> image;
  /// The image file itself, instead of a name.
  std::optional<std::string> image_bytes;
  /// Used instead of encoding the image, which then need not be given; the caller vouches that the
  /// catalog's encoder gives the same. encoder().dimension() finite values with a direction; scaled
  /// to unit length.
  std::optional<std::vector<float>> image_embedding;
  /// The same for the caption.
  std::optional<std::vector<float>> caption_embedding;
};

/// How an update went: it is on disk, and every search that begins from now on sees it.
struct UpdateResult {
  std::uint64_t sequence = 0;  ///< its number among the catalog's updates
  bool existed = false;        ///< whether the product was there before
};

/// A ProductUpdate with everything encoded, or a deletion. An image and a new caption have their
/// embeddings with them.
struct PreparedUpdate {
  std::string id;
  bool deleted = false;
  std::optional<std::string> caption;
  std::optional<nlohmann::json> attributes;
  std::optional<std::string> image;
  std::optional<storage::Upload> upload;              ///< what `image` names, when it is an upload
  std::optional<std::vector<float>> image_embedding;  ///< unit length
  std::optional<std::vector<float>> caption_embedding;  ///< unit length
};

}  // namespace vitrine::engine
