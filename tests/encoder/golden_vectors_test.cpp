#include "encoder/golden_vectors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"

namespace vitrine::encoder {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// Gives every input the direction `angle`, in a plane.
class FixedEncoder : public Encoder {
 public:
  int dimension() const override { return 2; }
  TokenizedText tokenize(std::string_view) const override { return {}; }
  Matrix encode_tokenized(std::span<const TokenizedText> texts) const override {
    return rows(texts.size());
  }
  Matrix encode_images(std::span<const Image> images) const override { return rows(images.size()); }
  float logit_scale() const override { return 1; }
  const std::string& fingerprint() const override { return precision; }
  EncoderInfo info() const override {
    EncoderInfo info;
    info.precision = precision;
    return info;
  }

  std::string precision = "float32";
  double angle = 0.5;

 private:
  Matrix rows(std::size_t count) const {
    Matrix result(count, 2);
    for (std::size_t i = 0; i < count; ++i) {
      result.row(i)[0] = static_cast<float>(7 * std::cos(angle));
      result.row(i)[1] = static_cast<float>(7 * std::sin(angle));
    }
    return result;
  }
};

/// The message of the Corruption that the check throws; empty when it throws nothing.
std::string problem(const Encoder& encoder, const std::filesystem::path& folder) {
  try {
    check_golden_vectors(encoder, folder);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorruption) << error.what();
    return error.what();
  }
  return "";
}

class GoldenVectors : public ::testing::Test {
 protected:
  void write() {
    const std::vector<std::string> texts = {"a red dress"};
    const std::vector<Image> images = {{1, 2, {1, 2, 3, 4, 5, 6}}};
    write_golden_vectors(encoder_, texts, images, folder_.path());
  }
  json read() const { return json::parse(std::ifstream(folder_.path() / kGoldenFile)); }
  void replace(const json& file) const { std::ofstream(folder_.path() / kGoldenFile) << file; }

  TemporaryDirectory folder_;
  FixedEncoder encoder_;
};

TEST_F(GoldenVectors, AreNotNeeded) { EXPECT_EQ(problem(encoder_, folder_.path()), ""); }

TEST_F(GoldenVectors, AllowEachPrecisionItsOwnError) {
  write();
  EXPECT_EQ(problem(encoder_, folder_.path()), "");
  // Angles whose cosine is just within and just beyond the bound.
  const auto off = [&](const std::string& precision, double angle) {
    encoder_.precision = precision;
    encoder_.angle = 0.5 + angle;
    return problem(encoder_, folder_.path());
  };
  EXPECT_EQ(off("float32", 1e-4), "");
  EXPECT_THAT(off("float32", 2e-4), AllOf(HasSubstr("self-test in float32"),
                                          HasSubstr("\"a red dress\""), HasSubstr("golden.json")));
  EXPECT_EQ(off("bfloat16", std::acos(0.9996)), "");
  EXPECT_THAT(off("bfloat16", std::acos(0.9994)), HasSubstr("0.99940"));
  EXPECT_EQ(off("int8", std::acos(0.991)), "");
  EXPECT_THAT(off("int8", std::acos(0.989)), HasSubstr("0.98900"));
  EXPECT_NE(off("float32", std::numeric_limits<double>::quiet_NaN()), "");
  EXPECT_NE(off("bfloat16", std::numeric_limits<double>::quiet_NaN()), "");
}

TEST_F(GoldenVectors, AreMadeInFloat32) {
  encoder_.precision = "bfloat16";
  EXPECT_THROW(write(), Error);
}

TEST_F(GoldenVectors, ThatAreDamagedAreNamed) {
  write();
  const json good = read();
  json file = good;
  file["images"][0]["height"] = 2;
  replace(file);
  EXPECT_THAT(problem(encoder_, folder_.path()), HasSubstr("2 x 2 pixels has 6 values"));
  file = good;
  for (const double value : {-1.0, 1e30}) {  // no int holds the second
    file = good;
    file["images"][0]["height"] = value;
    replace(file);
    EXPECT_THAT(problem(encoder_, folder_.path()), HasSubstr("is not an integer"));
    file = good;
    file["images"][0]["rgb"][0] = value;
    replace(file);
    EXPECT_THAT(problem(encoder_, folder_.path()), HasSubstr("is not an integer"));
  }
  file = good;
  file["texts"][0]["embedding"].push_back(0);
  replace(file);
  EXPECT_THAT(problem(encoder_, folder_.path()), HasSubstr("3 numbers"));
  file = good;
  file["texts"][0].erase("text");
  replace(file);
  EXPECT_THAT(problem(encoder_, folder_.path()), HasSubstr("golden.json"));
  std::ofstream(folder_.path() / kGoldenFile) << std::string(100'000, '[');
  EXPECT_THAT(problem(encoder_, folder_.path()), HasSubstr("nested too deeply"));
  std::ofstream(folder_.path() / kGoldenFile) << "{";
  EXPECT_THAT(problem(encoder_, folder_.path()), HasSubstr("golden.json"));
}

/// With the checkpoint that comes with the program.
class ShippedCheckpoint : public GoldenVectors {
 protected:
  ShippedCheckpoint() {
    std::filesystem::copy(VITRINE_SOURCE_DIR "/models/fashion-mini", folder_.path());
    options_.model = folder_.path();
  }

  EncoderOptions options_;
};

TEST_F(ShippedCheckpoint, PassesItsSelfTest) {
  const json file = read();
  EXPECT_GE(file["texts"].size(), 3U);
  EXPECT_GE(file["images"].size(), 1U);
  for (const Precision precision : {Precision::kFloat32, Precision::kBFloat16, Precision::kInt8}) {
    options_.precision = precision;
    EXPECT_NO_THROW(load_encoder(options_)) << to_string(precision);
  }
}

TEST_F(ShippedCheckpoint, RefusesToStartWithOtherVectors) {
  json file = read();
  std::swap(file["texts"][0]["embedding"], file["texts"][1]["embedding"]);
  replace(file);
  try {
    load_encoder(options_);
    ADD_FAILURE() << "the encoder started";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorruption);
    EXPECT_THAT(error.what(), HasSubstr("fails its self-test"));
  }
}

TEST_F(ShippedCheckpoint, HasTheSameFingerprintWithoutGoldenVectors) {
  const std::string with = load_encoder(options_)->fingerprint();
  std::filesystem::remove(folder_.path() / kGoldenFile);
  EXPECT_EQ(load_encoder(options_)->fingerprint(), with);
}

}  // namespace
}  // namespace vitrine::encoder
