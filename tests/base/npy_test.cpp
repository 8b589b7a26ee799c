#include "base/npy.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
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

/// A file of the given version, header text and data.
void write_raw(const std::filesystem::path& path, int version, const std::string& header,
               const std::string& data) {
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(version);
  bytes += '\0';
  for (std::size_t i = 0; i < (version == 1 ? 2U : 4U); ++i) {
    bytes += static_cast<char>(header.size() >> (8 * i));
  }
  write_file_atomically(path, bytes + header + data);
}

class NpyReading : public ::testing::Test {
 protected:
  std::filesystem::path file() const { return folder_.path() / "m.npy"; }

  std::vector<float> row(std::size_t row) const {
    const NpyReader reader(file());
    std::vector<float> values(reader.cols());
    reader.read_row(row, values);
    return values;
  }

  std::string refusal() const {
    try {
      const NpyReader reader(file());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_NE(std::string(error.what()).find("m.npy: "), std::string::npos) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "it was read";
    return {};
  }

  TemporaryDirectory folder_;
};

TEST_F(NpyReading, GivesBackWhatWasWritten) {
  Matrix matrix(3, 2);
  for (std::size_t i = 0; i < 6; ++i) matrix.data()[i] = static_cast<float>(i) - 2.5F;
  matrix.row(1)[1] = std::numeric_limits<float>::infinity();
  write_npy(file(), matrix);
  const NpyReader reader(file());
  EXPECT_EQ(reader.rows(), 3U);
  EXPECT_EQ(reader.cols(), 2U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(row(i), std::vector<float>(matrix.row(i).begin(), matrix.row(i).end()));
  }
  std::vector<float> values(2);
  EXPECT_THROW(reader.read_row(3, values), Error);
  values.resize(3);
  EXPECT_THROW(reader.read_row(0, values), Error);
}

TEST_F(NpyReading, WidensHalfPrecision) {
  // 1, -2, 65504, the smallest subnormal, 0.333..., -0, infinity, 1.5, and 0.1 past eight.
  const std::uint16_t halves[] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x3555,
                                  0x8000, 0x7c00, 0x3e00, 0x2e66};
  write_raw(file(), 1, "{'descr': '<f2', 'fortran_order': False, 'shape': (1, 9), }\n",
            std::string(reinterpret_cast<const char*>(halves), sizeof(halves)));
  EXPECT_EQ(row(0),
            (std::vector<float>{1, -2, 65504, 0x1p-24F, 0x1.554p-2F, -0.0F,
                                std::numeric_limits<float>::infinity(), 1.5F, 0x1.998p-4F}));
}

TEST_F(NpyReading, TakesEveryVersionAndSpelling) {
  const std::string data("\0\0\x80?\0\0\0@", 8);  // 1, 2
  for (const int version : {1, 2, 3}) {
    for (const char* header :
         {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }      \n",
          "{\"shape\":(1L,2L,),\"fortran_order\":False,\"descr\":\"<f4\"}"}) {
      write_raw(file(), version, header, data);
      EXPECT_EQ(row(0), (std::vector<float>{1, 2})) << header;
    }
  }
  write_raw(file(), 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 512), }\n", "");
  EXPECT_EQ(NpyReader(file()).rows(), 0U);
}

TEST_F(NpyReading, RefusesOtherArrays) {
  const std::string eight(8, '\0');
  const auto with = [&](const std::string& header) {
    write_raw(file(), 1, header, eight);
    return refusal();
  };
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_TRUE(has(with("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1), }"), "<f8"));
  EXPECT_TRUE(has(with("{'descr': '>f4', 'fortran_order': False, 'shape': (1, 2), }"), ">f4"));
  EXPECT_TRUE(has(with("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), }"), "Fortran"));
  EXPECT_TRUE(has(with("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"), "(2)"));
  EXPECT_TRUE(has(with("{'descr': '<f4', 'fortran_order': False, 'shape': (), }"), "()"));
  EXPECT_TRUE(has(with("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }"),
                  "promises 1 rows of 3"));
  EXPECT_TRUE(has(with("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }"),
                  "promises 1 rows of 1"));
  // Products that wrap around to 8 bytes.
  EXPECT_TRUE(has(with("{'descr': '<f4', 'fortran_order': False, 'shape': "
                       "(4611686018427387906, 1), }"),
                  "promises"));
  EXPECT_TRUE(has(with("{'descr': '<f4', 'fortran_order': False, 'shape': "
                       "(9223372036854775809, 2), }"),
                  "promises"));
}

TEST_F(NpyReading, RefusesAHeaderThatIsNone) {
  for (const char* header :
       {"", "{", "{}", "[1, 2]", "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)",
        "{'descr': '<f4', 'fortran_order': False}", "{'descr': '<f4', 'shape': (1, 2)}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)}",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 2)}",
        "{'descr': '<f4', 'fortran_order': false, 'shape': (1, 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)} x",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), 'more': 1}"}) {
    write_raw(file(), 1, header, std::string(8, '\0'));
    EXPECT_NE(refusal().find("its header is not the one"), std::string::npos) << header;
  }
}

TEST_F(NpyReading, RefusesWhatIsNoNpyFileOrCut) {
  write_file_atomically(file(), "");
  EXPECT_NE(refusal().find("no .npy file"), std::string::npos);
  write_file_atomically(file(), "id,image,caption\n1,2,3\n");
  EXPECT_NE(refusal().find("no .npy file"), std::string::npos);
  write_raw(file(), 4, "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 2), }", "");
  EXPECT_NE(refusal().find("version is 4"), std::string::npos);
  // A header that claims 4 GiB.
  write_file_atomically(file(), std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff{}", 14));
  EXPECT_NE(refusal().find("its header has 4294967295 bytes"), std::string::npos);

  Matrix matrix(4, 4);
  write_npy(file(), matrix);
  const std::string whole = read_file(file(), 1 << 20);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write_file_atomically(file(), std::string_view(whole).substr(0, size));
    EXPECT_FALSE(refusal().empty());
  }
  write_file_atomically(file(), whole + "x");
  EXPECT_NE(refusal().find("promises 4 rows of 4"), std::string::npos);

  // Cut after it was opened.
  write_file_atomically(file(), whole);
  const NpyReader reader(file());
  std::filesystem::resize_file(file(), whole.size() - 1);
  std::vector<float> values(4);
  reader.read_row(2, values);
  EXPECT_THROW(reader.read_row(3, values), Error);
}

TEST(NpyWriter, WritesPieceByPieceExactlyWhatWasPromised) {
  const TemporaryDirectory folder;
  Matrix matrix(5, 3);
  for (std::size_t i = 0; i < 15; ++i) matrix.data()[i] = static_cast<float>(i);
  write_npy(folder.path() / "whole.npy", matrix);
  NpyWriter writer(folder.path() / "parts.npy", 5, 3);
  writer.append({matrix.data(), 2, 3});
  EXPECT_THROW(writer.append({matrix.data(), 1, 2}), Error);
  EXPECT_THROW(writer.append({matrix.data(), 4, 3}), Error);
  EXPECT_THROW(writer.commit(), Error);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "parts.npy"));
  writer.append({matrix.row(2).data(), 3, 3});
  writer.commit();
  EXPECT_EQ(read_file(folder.path() / "parts.npy", 1 << 20),
            read_file(folder.path() / "whole.npy", 1 << 20));
}

}  // namespace
}  // namespace vitrine
