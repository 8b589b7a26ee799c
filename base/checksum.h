#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/sha256.h"

namespace vitrine {

/// A digest of many bytes at the speed of memory: the SHA-256 of the checksums of pieces of 1 MiB,
/// which are taken on the OpenMP threads of the calling thread. It tells every change within one
/// aligned word of eight bytes for certain, any other accident with odds of 2^64 to 1. It is no
/// protection against someone who means to deceive: nor is a SHA-256 that lies beside the data.
/// Throws Corruption where the bytes are those of a mapped file and the disk does not give them,
/// which ends a process that looks at them.
Sha256Digest digest_of(std::string_view bytes);

constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

/// The same, piece by piece. Not thread-safe.
class Digest {
 public:
  /// bytes: kPieceBytes, or fewer for the last piece.
  void add_piece(std::string_view bytes);
  /// The last call.
  Sha256Digest finish() { return sha256_.finish(); }

 private:
  Sha256 sha256_;
};

/// One piece: 64-bit words, in turn into eight lanes, each mixed as in FNV-1a with a
/// shift: h = (h ^ word) * prime, h = h ^ (h >> 32).
std::uint64_t checksum_of_piece(std::string_view bytes);

}  // namespace vitrine
