// Files of ivf_pq indices whose digest is right and whose contents are not.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "base/checksum.h"
#include "base/file.h"
#include "index/vector_index.h"
#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

constexpr std::size_t kRows = 130;
constexpr std::size_t kCols = 12;
constexpr std::size_t kLists = 5;
constexpr std::size_t kTables = 8;

class IvfPqFile : public testing::Test {
 protected:
  IvfPqFile() {
    IndexSpec spec{"ivf_pq", kLists};
    spec.pq_bytes = kTables / 2;
    build_index(vectors_, spec)->save(path_);
    bytes_ = read_file(path_, 1 << 20);
    std::memcpy(&codes_at_, bytes_.data() + bytes_.size() - 48, 8);
  }

  static std::size_t padded(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

  /// Puts a number into the codes' part, or into FAISS's where it is counted from the front.
  template <class Number>
  void put(std::size_t at, Number number) {
    std::memcpy(bytes_.data() + at, &number, sizeof(number));
  }

  void expect_unsound(const std::string& part) {
    const std::size_t digested = bytes_.size() - sizeof(Sha256Digest);
    const Sha256Digest digest = digest_of(std::string_view(bytes_).substr(0, digested));
    std::memcpy(bytes_.data() + digested, digest.data(), digest.size());
    std::ofstream(path_, std::ios::binary) << bytes_;
    expect_error(ErrorCode::kCorruption, part, [&] { open_index(path_); });
  }

  const TemporaryDirectory folder_;
  const std::filesystem::path path_ = folder_.path() / "index.faiss";
  const Matrix vectors_ = clustered_vectors(kRows, kCols, 1);
  std::string bytes_;
  std::size_t codes_at_ = 0;
  // Where parts lie behind the codes' beginning.
  const std::size_t axes_ = 64;
  const std::size_t mean_ = axes_ + padded(kCols * kCols * 4);
  const std::size_t centroids_ = mean_ + padded(kCols * 4);
  const std::size_t order_ = centroids_ + padded(kLists * kCols * 4);
  const std::size_t entries_ = order_ + padded(2 * kTables * 4);
  const std::size_t sizes_ = entries_ + padded(2 * kTables * 16 * 4);
  const std::size_t rows_ = sizes_ + padded(kLists * 4);
};

TEST_F(IvfPqFile, WithNumbersThatDoNotFitIsRefused) {
  const std::string sound = bytes_;
  for (std::size_t at = 0; at < 4; ++at) {
    std::uint64_t number = 0;
    std::memcpy(&number, sound.data() + codes_at_ + at * 8, 8);
    for (const std::uint64_t wrong : {std::uint64_t{0}, number + 16, std::uint64_t{1} << 31,
                                      std::uint64_t{1} << 62, ~std::uint64_t{0}}) {
      bytes_ = sound;
      put(codes_at_ + at * 8, wrong);
      expect_unsound("its lists do not fit its vectors");
    }
  }
}

TEST_F(IvfPqFile, WithFloatsThatNoUnitVectorsHaveIsRefused) {
  const std::string sound = bytes_;
  for (const std::size_t at : {axes_, mean_, centroids_, entries_}) {
    for (const float wrong : {std::nanf(""), INFINITY, -INFINITY, 1e30F, -5.0F}) {
      bytes_ = sound;
      put(codes_at_ + at + 4, wrong);
      expect_unsound("its lists are not those of unit vectors");
    }
  }
}

TEST_F(IvfPqFile, WithDimensionsThatDoNotExistIsRefused) {
  const std::string sound = bytes_;
  for (const std::int32_t wrong : {-2, static_cast<std::int32_t>(kCols), 1 << 30}) {
    bytes_ = sound;
    put(codes_at_ + order_ + 8, wrong);
    expect_unsound("dimensions that do not exist");
  }
}

TEST_F(IvfPqFile, WithListsOfOtherLengthsIsRefused) {
  const std::string sound = bytes_;
  std::int32_t last = 0;
  std::memcpy(&last, sound.data() + codes_at_ + sizes_ + 4 * (kLists - 1), 4);
  for (const std::int32_t wrong : {-1, last + 1, 1 << 30}) {
    bytes_ = sound;
    put(codes_at_ + sizes_ + 4 * (kLists - 1), wrong);
    expect_unsound("its lists are longer than its vectors");
  }
  bytes_ = sound;
  put(codes_at_ + sizes_ + 4 * (kLists - 1), last - 1);
  expect_unsound("its lists lack rows");
}

TEST_F(IvfPqFile, WithARowTwiceOrOneThatDoesNotExistIsRefused) {
  const std::string sound = bytes_;
  std::int32_t other = 0;
  std::memcpy(&other, sound.data() + codes_at_ + rows_, 4);
  for (const std::int32_t wrong : {-1, static_cast<std::int32_t>(kRows), other}) {
    bytes_ = sound;
    put(codes_at_ + rows_ + 4 * 77, wrong);
    expect_unsound("its lists name a row twice or one that does not exist");
  }
}

TEST_F(IvfPqFile, WithVectorsOfAnotherNumberIsRefused) {
  const std::string sound = bytes_;
  for (const std::int64_t wrong : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{kRows} - 1,
                                   std::int64_t{kRows} + 1, std::int64_t{1} << 60}) {
    bytes_ = sound;
    put(8, wrong);
    expect_unsound(path_.string());
  }
  for (const std::int32_t wrong : {0, -1, 11, 13, 1 << 30}) {
    bytes_ = sound;
    put(4, wrong);
    expect_unsound(path_.string());
  }
}

TEST_F(IvfPqFile, CutBeforeItsCodesIsRefused) {
  const std::size_t end = bytes_.size() - 72;
  for (const std::size_t cut : {std::size_t{64}, end - codes_at_}) {
    std::string shorter = bytes_.substr(0, end - cut) + bytes_.substr(end);
    bytes_.swap(shorter);
    put(bytes_.size() - 40, end - cut - codes_at_);
    expect_unsound("its lists");
    bytes_.swap(shorter);
  }
}

}  // namespace
}  // namespace vitrine::index
