#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/sha256.h"
#include "storage/product.h"

namespace vitrine::storage {

/// One change of a product after its catalog was indexed. A catalog's products are those of its
/// current generation, changed by every update above the generation's covered_sequence, in order.
struct Update {
  std::uint64_t sequence = 0;       ///< at least 1; grows by one with every update of the catalog
  std::int64_t time_ms = 0;         ///< when it was accepted: milliseconds since 1970, UTC
  bool deleted = false;             ///< true: the product is gone, and only product.id below counts
  Product product;                  ///< complete, whatever the client left out
  std::string encoder_fingerprint;  ///< of the encoder whose embeddings these can be compared to
  std::vector<float> image_embedding;    ///< unit length
  std::vector<float> caption_embedding;  ///< unit length, as many columns

  bool operator==(const Update&) const = default;
};

/// The image file of an update, kept by its content.
struct Upload {
  Sha256Digest digest{};  ///< of the bytes
  std::string bytes;
};

/// Product::image of an upload: "upload:" and the digest in hexadecimal.
std::string upload_name(const Sha256Digest& digest);
/// The digest in such a name; nothing when it is no such name.
std::optional<Sha256Digest> parse_upload_name(std::string_view image);

/// Throws InvalidArgument for a fault of the product (storage/product.h) and for embeddings that
/// are empty, of two lengths, or not finite.
void validate(const Update& update);

/// The value stored for an update, from which decode_update() makes it again. Throws as validate().
std::string encode_update(const Update& update);
/// Throws Corruption naming the catalog and the sequence number.
Update decode_update(const std::string& catalog, std::uint64_t sequence, std::string_view value);

}  // namespace vitrine::storage
