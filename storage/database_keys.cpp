#include "storage/database_keys.h"

#include <fmt/format.h>

#include <cstddef>

#include "base/error.h"
#include "base/text.h"

namespace vitrine::storage {
namespace {

constexpr std::size_t kNumberBytes = 8;
constexpr std::size_t kMaxPartBytes = 255;  // its length is one byte

void append_number(std::string& key, std::uint64_t number) {
  for (std::size_t i = 0; i < kNumberBytes; ++i) {
    key += static_cast<char>((number >> (8 * (kNumberBytes - 1 - i))) & 0xff);
  }
}

void append_part(std::string& key, std::string_view part) {
  key += static_cast<char>(static_cast<unsigned char>(part.size()));
  key += part;
}

}  // namespace

std::string product_prefix(const std::string& catalog, std::uint64_t generation) {
  check_catalog_name(catalog);
  if (generation == 0 || generation == UINT64_MAX) {
    throw invalid_argument(
        fmt::format("generation {} of catalog {}; generations count from 1", generation, catalog));
  }
  std::string key;
  append_part(key, catalog);
  append_number(key, generation);
  return key;
}

std::string catalog_prefix(const std::string& catalog) {
  check_catalog_name(catalog);
  std::string key;
  append_part(key, catalog);
  return key;
}

std::string update_key(const std::string& catalog, std::uint64_t sequence) {
  std::string key = catalog_prefix(catalog);
  append_number(key, sequence);
  return key;
}

std::string upload_key(const std::string& catalog, const Sha256Digest& digest) {
  return embedding_key(catalog_prefix(catalog), digest);
}

std::string after_prefix(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  if (!prefix.empty())
    prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

std::optional<std::pair<std::string, std::uint64_t>> parse_product_prefix(std::string_view key) {
  if (key.empty()) return std::nullopt;
  const std::size_t length = static_cast<unsigned char>(key[0]);
  if (length == 0 || key.size() < 1 + length + kNumberBytes) return std::nullopt;
  std::uint64_t generation = 0;
  for (std::size_t i = 0; i < kNumberBytes; ++i) {
    generation = generation << 8 | static_cast<unsigned char>(key[1 + length + i]);
  }
  return std::make_pair(std::string(key.substr(1, length)), generation);
}

std::string embedding_prefix(const std::string& fingerprint, EmbeddingKind kind) {
  if (fingerprint.empty() || fingerprint.size() > kMaxPartBytes) {
    throw invalid_argument(
        fmt::format("encoder fingerprint \"{}\" has {} bytes; it must have 1 "
                    "to {}",
                    printable(fingerprint), fingerprint.size(), kMaxPartBytes));
  }
  std::string key;
  append_part(key, fingerprint);
  key += static_cast<char>(kind);
  return key;
}

std::string embedding_key(const std::string& prefix, const Sha256Digest& digest) {
  return prefix + std::string(reinterpret_cast<const char*>(digest.data()), digest.size());
}

}  // namespace vitrine::storage
