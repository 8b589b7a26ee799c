#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace vitrine {

using Sha256Digest = std::array<std::uint8_t, 32>;

/// Incremental SHA-256. Not thread-safe; one object a stream.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(std::string_view bytes);
  /// Ends the stream; the object must not be used afterwards.
  Sha256Digest finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

Sha256Digest sha256(std::string_view bytes);
/// Streams the file. Throws NotFound or Unavailable when it cannot be read.
Sha256Digest sha256_file(const std::filesystem::path& path);
/// 64 lower-case hexadecimal digits.
std::string to_hex(const Sha256Digest& digest);

}  // namespace vitrine
