#include "base/npy.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/file.h"

namespace vitrine {
namespace {

TEST(Npy, WritesAHeaderThatNumpyReads) {
  const TemporaryDirectory folder;
  Matrix matrix(2, 3);
  for (std::size_t i = 0; i < 6; ++i) matrix.data()[i] = static_cast<float>(i) * 0.5F;
  write_npy(folder.path() / "m.npy", matrix);

  const std::string bytes = read_file(folder.path() / "m.npy", 1 << 20);
  ASSERT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  const std::size_t header_size =
      static_cast<unsigned char>(bytes[8]) + 256U * static_cast<unsigned char>(bytes[9]);
  EXPECT_EQ((10 + header_size) % 64, 0U);
  const std::string header = bytes.substr(10, header_size);
  EXPECT_NE(header.find("'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), "),
            std::string::npos);
  EXPECT_EQ(header.back(), '\n');
  ASSERT_EQ(bytes.size(), 10 + header_size + 6 * sizeof(float));
  EXPECT_EQ(std::memcmp(bytes.data() + 10 + header_size, matrix.data(), 6 * sizeof(float)), 0);
}

}  // namespace
}  // namespace vitrine
