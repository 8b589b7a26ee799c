#include "base/checksum.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "base/error.h"
#include "base/file.h"

namespace vitrine {
namespace {

std::string random_bytes(std::size_t size) {
  std::mt19937 random(static_cast<std::uint32_t>(size));
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

TEST(Checksum, TellsEveryFlippedBit) {
  for (const std::size_t size : {1, 7, 8, 63, 64, 65, 200}) {
    std::string bytes = random_bytes(size);
    const std::uint64_t sound = checksum_of_piece(bytes);
    for (std::size_t bit = 0; bit < 8 * size; ++bit) {
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
      EXPECT_NE(checksum_of_piece(bytes), sound);
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    }
  }
}

TEST(Checksum, TellsTwoFlippedBitsOfOneLane) {
  std::string bytes = random_bytes(640);
  const std::uint64_t sound = checksum_of_piece(bytes);
  for (int bit = 0; bit < 64; ++bit) {
    for (const std::size_t word : {0, 8, 72}) {
      const std::size_t at = word * 8 + static_cast<std::size_t>(bit / 8);
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit % 8));
    }
    EXPECT_NE(checksum_of_piece(bytes), sound);
  }
}

TEST(Checksum, TellsZerosApartByTheirNumber) {
  EXPECT_NE(checksum_of_piece(std::string(64, '\0')), checksum_of_piece(std::string(128, '\0')));
  EXPECT_NE(checksum_of_piece(""), checksum_of_piece(std::string(1, '\0')));
}

TEST(Digest, IsTheSamePieceByPieceAndKnowsTheirOrder) {
  const std::string bytes = random_bytes(3 * kPieceBytes + 17);
  Digest digest;
  for (std::size_t at = 0; at < bytes.size(); at += kPieceBytes) {
    digest.add_piece(std::string_view(bytes).substr(at, kPieceBytes));
  }
  const Sha256Digest whole = digest_of(bytes);
  EXPECT_EQ(digest.finish(), whole);
  std::string swapped = bytes;
  std::swap_ranges(swapped.begin(), swapped.begin() + kPieceBytes, swapped.begin() + kPieceBytes);
  EXPECT_NE(digest_of(swapped), whole);
}

TEST(Digest, TellsWhatAMappedFileDoesNotGive) {
  const TemporaryDirectory folder;
  const std::filesystem::path path = folder.path() / "f";
  write_file_atomically(path, random_bytes(3 * kPieceBytes));
  const MappedFile file(path);
  EXPECT_TRUE(can_be_read(file.bytes()));
  const Sha256Digest whole = digest_of(file.bytes());
  std::filesystem::resize_file(path, kPieceBytes);  // as a disk that has lost the rest
  if (can_be_read(file.bytes())) GTEST_SKIP() << "the kernel does not tell (Linux 5.14 does)";
  EXPECT_TRUE(can_be_read(file.bytes().substr(0, kPieceBytes)));
  try {
    digest_of(file.bytes());
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorruption) << error.what();
  }
  EXPECT_NE(digest_of(file.bytes().substr(0, kPieceBytes)), whole);
}

}  // namespace
}  // namespace vitrine
