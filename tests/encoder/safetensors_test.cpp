#include "encoder/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "tests/encoder/tensors.h"

namespace vitrine::encoder {
namespace {

using testing::HasSubstr;

class Safetensors : public testing::Test {
 protected:
  std::filesystem::path path() const { return folder_.path() / "model.safetensors"; }

  void write(const std::string& header, std::size_t data_bytes) const {
    write_claiming(header.size(), header, data_bytes);
  }
  void write_claiming(std::uint64_t header_size, const std::string& header,
                      std::size_t data_bytes) const {
    std::ofstream stream(path(), std::ios::binary);
    stream.write(reinterpret_cast<const char*>(&header_size), sizeof(header_size));
    stream << header << std::string(data_bytes, '\0');
  }
  /// The message with which the file is refused; it always names the file.
  std::string refusal() const {
    try {
      const SafetensorsFile file(path());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorruption);
      EXPECT_THAT(error.what(), HasSubstr("model.safetensors"));
      return error.what();
    }
    ADD_FAILURE() << "the file is accepted";
    return "";
  }

  TemporaryDirectory folder_;
};

TEST_F(Safetensors, ReadsBackWhatItWrites) {
  const std::map<std::string, FloatTensor> tensors = {
      {"a", {{2, 3}, {1, -2, 3.5, 0, 65504, 1e-7F}}}, {"empty", {{0, 4}, {}}}, {"s", {{}, {0.1F}}}};
  write_safetensors(path(), tensors, DType::kF32);
  const SafetensorsFile file(path());
  EXPECT_EQ(file.tensors().size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(file.tensors().at(name).shape, tensor.shape);
    EXPECT_EQ(read_floats(file, name), tensor.values);
  }
}

TEST_F(Safetensors, RoundsToFloat16AsIeeeDoes) {
  const float infinity = std::numeric_limits<float>::infinity();
  write_safetensors(path(),
                    {{"a",
                      {{10},
                       {1.0F, -2.5F, 65519.0F, 65520.0F, 0x1p-24F, 0x1p-25F, 0x1.8p-24F,
                        1.0F + 0x1p-11F, 1.0F + 0x1.8p-10F, -infinity}}}},
                    DType::kF16);
  EXPECT_EQ(read_floats(SafetensorsFile(path()), "a"),
            (std::vector<float>{1.0F, -2.5F, 65504.0F, infinity, 0x1p-24F, 0.0F, 0x1p-23F, 1.0F,
                                1.0F + 0x1p-9F, -infinity}));
  EXPECT_THROW(write_safetensors(path(), {}, DType::kBF16), Error);
}

TEST_F(Safetensors, Float16RoundTripsEveryValue) {
  std::ofstream stream(path(), std::ios::binary);
  const std::string header = R"({"a":{"dtype":"F16","shape":[65536],"data_offsets":[0,131072]}})";
  const std::uint64_t size = header.size();
  stream.write(reinterpret_cast<const char*>(&size), sizeof(size));
  stream << header;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    stream.put(static_cast<char>(bits & 0xff)).put(static_cast<char>(bits >> 8));
  }
  stream.close();
  const std::vector<float> values = read_floats(SafetensorsFile(path()), "a");
  write_safetensors(folder_.path() / "again", {{"a", {{65536}, values}}}, DType::kF16);
  const SafetensorsFile again(folder_.path() / "again");
  const std::string_view bytes = again.tensors().at("a").bytes;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    std::uint16_t written = 0;
    std::memcpy(&written, bytes.data() + 2 * bits, 2);
    if (std::isnan(values[bits])) {
      EXPECT_GT(written & 0x7fff, 0x7c00);
    } else {
      ASSERT_EQ(written, bits);
    }
  }
}

TEST_F(Safetensors, ReadsBfloat16AndRefusesIntegersAsFloats) {
  std::ofstream stream(path(), std::ios::binary);
  const std::string header = R"({"b":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},)"
                             R"("i":{"dtype":"I64","shape":[1],"data_offsets":[4,12]}})";
  const std::uint64_t size = header.size();
  stream.write(reinterpret_cast<const char*>(&size), sizeof(size));
  stream << header << std::string("\x80\x3f\x20\xc0", 4) << std::string(8, '\0');
  stream.close();
  const SafetensorsFile file(path());
  EXPECT_EQ(read_floats(file, "b"), (std::vector<float>{1.0F, -2.5F}));
  EXPECT_THROW(read_floats(file, "i"), Error);
}

TEST_F(Safetensors, TakesTimeByTheNumberOfTensors) {
  std::string header = "{";
  for (int i = 0; i < 100'000; ++i) {
    header += R"("t)" + std::to_string(i) + R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" +
              std::to_string(i) + "," + std::to_string(i + 1) + "]},";
  }
  header.back() = '}';
  write(header, 100'000);
  EXPECT_EQ(SafetensorsFile(path()).tensors().size(), 100'000U);
}

TEST_F(Safetensors, RefusesAHeaderThatLiesAboutItsSize) {
  write_claiming(std::numeric_limits<std::uint64_t>::max(), "{}", 0);
  EXPECT_THAT(refusal(), HasSubstr("claims a header of 18446744073709551615 bytes"));
  write_claiming(16'000'000, "{}", 0);
  EXPECT_THAT(refusal(), HasSubstr("claims a header of 16000000 bytes but has only 10"));
  write_claiming(1, "{}", 0);
  EXPECT_THAT(refusal(), HasSubstr("not valid JSON"));
}

TEST_F(Safetensors, RefusesATruncatedFile) {
  write_safetensors(path(), {{"a", {{64}, std::vector<float>(64)}}}, DType::kF32);
  const auto size = std::filesystem::file_size(path());
  for (std::uintmax_t length = size; length-- > 0;) {
    std::filesystem::resize_file(path(), length);
    ASSERT_NE(refusal(), "") << length;
  }
}

TEST_F(Safetensors, NamesTheTensorThatLies) {
  const auto one = [&](const std::string& entry) {
    write(R"({"w.x":)" + entry + "}", 16);
    const std::string message = refusal();
    EXPECT_THAT(message, HasSubstr("\"w.x\""));
    return message;
  };
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[4],"data_offsets":[0,1000000000000]})"),
              HasSubstr("exceed the 16 bytes"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[4],"data_offsets":[16,0]})"), HasSubstr("exceed"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[5],"data_offsets":[0,16]})"),
              HasSubstr("needs 20 bytes"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]})"),
              HasSubstr("overflows"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,16]})"),
              HasSubstr("overflows"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[-4],"data_offsets":[0,16]})"),
              HasSubstr("not an unsigned integer"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[4.0],"data_offsets":[0,16]})"),
              HasSubstr("not an unsigned integer"));
  EXPECT_THAT(one(R"({"dtype":"F33","shape":[4],"data_offsets":[0,16]})"),
              HasSubstr("unknown dtype"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":4,"data_offsets":[0,16]})"), HasSubstr("shape"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[4],"data_offsets":[0]})"), HasSubstr("pair"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[4]})"), HasSubstr("does not consist"));
  EXPECT_THAT(one("[]"), HasSubstr("does not consist"));
}

TEST_F(Safetensors, RefusesOverlapsAndGaps) {
  write(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
        R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
        12);
  EXPECT_THAT(refusal(), HasSubstr("\"b\" overlaps"));
  write(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
        R"("b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}})",
        16);
  EXPECT_THAT(refusal(), HasSubstr("4 unused bytes lie before tensor \"b\""));
  write(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 9);
  EXPECT_THAT(refusal(), HasSubstr("1 bytes after the last tensor"));
}

TEST_F(Safetensors, RefusesABadHeader) {
  for (const char* header : {"", "[]", "{", "{\"a\":}", "null", " {}", "{} x"}) {
    write(header, 0);
    EXPECT_NE(refusal(), "") << header;
  }
  write(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
        R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
        1);
  EXPECT_THAT(refusal(), HasSubstr("\"a\" twice"));
  std::string deep = "{\"a\":";
  deep.append(1'000'000, '[');
  write(deep, 0);
  EXPECT_THAT(refusal(), HasSubstr("nested more than"));
}

}  // namespace
}  // namespace vitrine::encoder
