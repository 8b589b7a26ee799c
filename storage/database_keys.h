#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/sha256.h"
#include "storage/database.h"

/// The keys inside the column families. Every part but the last is of fixed length or preceded by
/// its length in one byte, so that no two different tuples share a key; numbers are big-endian, so
/// that key order is number order.
namespace vitrine::storage {

/// length | catalog | generation (8 bytes): what all products of a generation start with.
std::string product_prefix(const std::string& catalog, std::uint64_t generation);
/// The catalog and generation of a product key; nothing when it is malformed.
std::optional<std::pair<std::string, std::uint64_t>> parse_product_prefix(std::string_view key);

/// length | catalog: what all updates and all uploads of a catalog start with.
std::string catalog_prefix(const std::string& catalog);
/// length | catalog | sequence number (8 bytes).
std::string update_key(const std::string& catalog, std::uint64_t sequence);
/// length | catalog | SHA-256.
std::string upload_key(const std::string& catalog, const Sha256Digest& digest);
/// The first key behind all that begin with the prefix, which has a byte that is not 0xff.
std::string after_prefix(std::string prefix);

/// length | fingerprint | kind: what all embeddings of a kind start with; the digest follows.
std::string embedding_prefix(const std::string& fingerprint, EmbeddingKind kind);
std::string embedding_key(const std::string& prefix, const Sha256Digest& digest);

}  // namespace vitrine::storage
