#include "base/sha256.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/file.h"

namespace vitrine {
namespace {

// FIPS 180-4's examples.
TEST(Sha256, MatchesThePublishedExamples) {
  EXPECT_EQ(to_hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256, GivesTheSameDigestForAFileAsForItsBytes) {
  const TemporaryDirectory folder;
  const std::string bytes((std::size_t{3} << 20) + 17, 'x');
  std::ofstream(folder.path() / "f", std::ios::binary) << bytes;
  EXPECT_EQ(sha256_file(folder.path() / "f"), sha256(bytes));
}

TEST(Sha256, SaysThatAMissingFileIsMissing) {
  try {
    sha256_file("/nonexistent/file");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  }
}

}  // namespace
}  // namespace vitrine
