#include "base/checksum.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace vitrine {
namespace {

constexpr std::size_t kLanes = 8;  // one lane would wait for each multiplication
constexpr std::uint64_t kStart = 0xcbf29ce484222325;
constexpr std::uint64_t kPrime = 0x100000001b3;

/// One to one in both arguments. The shift lets the upper bits, which a product moves no further,
/// have a part in the next one.
std::uint64_t mix(std::uint64_t hash, std::uint64_t word) {
  const std::uint64_t product = (hash ^ word) * kPrime;
  return product ^ (product >> 32);
}

void add(Sha256& sha256, std::uint64_t checksum) {
  char little_endian[8];
  for (int i = 0; i < 8; ++i) little_endian[i] = static_cast<char>(checksum >> 8 * i & 0xff);
  sha256.update({little_endian, sizeof(little_endian)});
}

}  // namespace

void Digest::add_piece(std::string_view bytes) { add(sha256_, checksum_of_piece(bytes)); }

std::uint64_t checksum_of_piece(std::string_view bytes) {
  std::uint64_t lanes[kLanes];
  std::fill(lanes, lanes + kLanes, kStart);
  std::size_t at = 0;
  for (; at + kLanes * 8 <= bytes.size(); at += kLanes * 8) {
    std::uint64_t words[kLanes];
    std::memcpy(words, bytes.data() + at, sizeof(words));
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] = mix(lanes[lane], words[lane]);
  }
  std::uint64_t hash = mix(kStart, bytes.size());
  for (; at < bytes.size(); ++at) hash = mix(hash, static_cast<unsigned char>(bytes[at]));
  for (const std::uint64_t lane : lanes) hash = mix(hash, lane);
  return hash;
}

Sha256Digest digest_of(std::string_view bytes) {
  const std::size_t pieces = (bytes.size() + kPieceBytes - 1) / kPieceBytes;
  std::vector<std::uint64_t> checksums(pieces);
  std::atomic<bool> readable = true;
  // A thread for fewer pieces costs more than it saves.
  const auto most = static_cast<std::size_t>(std::max(1, omp_get_max_threads()));
  const int threads = static_cast<int>(std::clamp<std::size_t>(pieces / 2, 1, most));
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
  for (std::size_t piece = 0; piece < pieces; ++piece) {
    const std::string_view own = bytes.substr(piece * kPieceBytes, kPieceBytes);
    if (!can_be_read(own)) readable = false;
    if (readable) checksums[piece] = checksum_of_piece(own);
  }
  if (!readable) throw corruption("the disk does not give all of its bytes");
  Sha256 sha256;
  for (const std::uint64_t checksum : checksums) add(sha256, checksum);
  return sha256.finish();
}

}  // namespace vitrine
