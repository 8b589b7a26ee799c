#include "encoder/weight_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "tests/encoder/fixtures.h"
#include "tests/encoder/golden_embeddings.h"
#include "tests/encoder/tensors.h"

namespace vitrine::encoder {
namespace {

using testing::HasSubstr;

constexpr const char* kStems[] = {"open_clip_model", "model"};
constexpr const char* kFirst = "model-00001-of-00002.safetensors";
constexpr const char* kSecond = "model-00002-of-00002.safetensors";

class WeightShards : public testing::Test {
 protected:
  void SetUp() override {
    write_safetensors(path(kFirst), {{"a", {{2}, {1, 2}}}, {"b", {{1}, {3}}}}, DType::kF32);
    write_safetensors(path(kSecond), {{"c", {{1}, {4}}}}, DType::kF16);
    write_index({{"a", kFirst}, {"b", kFirst}, {"c", kSecond}});
  }

  std::filesystem::path path(const std::string& name) const { return folder_.path() / name; }
  void write_index(const nlohmann::json& map) const {
    const nlohmann::json index = {{"metadata", {{"total_size", 14}}}, {"weight_map", map}};
    write_file_atomically(path("model.safetensors.index.json"), index.dump());
  }
  Error refusal() const {
    try {
      WeightFiles::open(folder_.path(), kStems);
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "the files are accepted";
    return internal_error("");
  }

  TemporaryDirectory folder_;
};

TEST_F(WeightShards, AreOneSetOfTensors) {
  const WeightFiles files = WeightFiles::open(folder_.path(), kStems);
  EXPECT_EQ(files.tensors().size(), 3U);
  std::vector<float> values(2);
  read_float(files.tensors().at("a"), values);
  EXPECT_THAT(values, testing::ElementsAre(1, 2));
  values.resize(1);
  read_float(files.tensors().at("c"), values);
  EXPECT_THAT(values, testing::ElementsAre(4));
  EXPECT_THAT(files.paths(), testing::ElementsAre(path("model.safetensors.index.json"),
                                                  path(kFirst), path(kSecond)));
}

TEST_F(WeightShards, GiveWayToASingleFileAndToTheFirstStem) {
  write_safetensors(path("model.safetensors"), {{"d", {{1}, {5}}}}, DType::kF32);
  EXPECT_TRUE(WeightFiles::open(folder_.path(), kStems).tensors().contains("d"));
  write_safetensors(path("open_clip_model.safetensors"), {{"e", {{1}, {5}}}}, DType::kF32);
  EXPECT_TRUE(WeightFiles::open(folder_.path(), kStems).tensors().contains("e"));
}

TEST_F(WeightShards, LieInTheFolderOfTheIndex) {
  for (const char* name : {"../model.safetensors", "/tmp/model.safetensors", "sub/a.safetensors",
                           "..\\a.safetensors", ".safetensors", "model.bin", ""}) {
    write_index({{"a", name}});
    const Error error = refusal();
    EXPECT_EQ(error.code(), ErrorCode::kCorruption) << name;
    EXPECT_THAT(error.what(), HasSubstr("index.json: tensor \"a\" is in \"")) << name;
  }
  write_index({{"a", 3}});
  EXPECT_THAT(refusal().what(), HasSubstr("tensor \"a\" is in 3"));
}

TEST_F(WeightShards, MustHoldWhatTheIndexSays) {
  write_index({{"a", kFirst}, {"b", kSecond}, {"c", kSecond}});
  EXPECT_THAT(refusal().what(), HasSubstr("00001-of-00002.safetensors holds tensor \"b\""));
  write_index({{"a", kFirst}, {"c", kSecond}});
  EXPECT_THAT(refusal().what(), HasSubstr("is in no shard"));
  write_index({{"a", kFirst}, {"b", kFirst}, {"c", kSecond}, {"d", kSecond}});
  EXPECT_THAT(refusal().what(), HasSubstr("tensor \"d\" is not in \"model-00002"));
  EXPECT_EQ(refusal().code(), ErrorCode::kCorruption);
  write_index({{"a", kFirst}, {"b", kFirst}, {"c", "model-00003-of-00002.safetensors"}});
  EXPECT_EQ(refusal().code(), ErrorCode::kNotFound);
  EXPECT_THAT(refusal().what(), HasSubstr("model-00003-of-00002.safetensors"));
  write_file_atomically(path("model.safetensors.index.json"), "{}");
  EXPECT_THAT(refusal().what(), HasSubstr("weight_map is not an object"));
}

TEST_F(WeightShards, AreAllValidated) {
  std::filesystem::resize_file(path(kSecond), std::filesystem::file_size(path(kSecond)) - 1);
  EXPECT_EQ(refusal().code(), ErrorCode::kCorruption);
  EXPECT_THAT(refusal().what(), HasSubstr(kSecond));
}

TEST(WeightFiles, SayHowToConvertAPickle) {
  const TemporaryDirectory folder;
  const auto error = [&] {
    try {
      WeightFiles::open(folder.path(), kStems);
    } catch (const Error& refusal) {
      return refusal;
    }
    return internal_error("accepted");
  };
  EXPECT_EQ(error().code(), ErrorCode::kNotFound);
  EXPECT_THAT(error().what(), HasSubstr("open_clip_model.safetensors"));
  write_file_atomically(folder.path() / "open_clip_pytorch_model.bin", "\x80\x02");
  EXPECT_EQ(error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(error().what(), HasSubstr("open_clip_pytorch_model.bin is a pickle"));
  EXPECT_THAT(error().what(), HasSubstr("glob.glob(\"open_clip_pytorch_model*.bin\")"));
  EXPECT_THAT(error().what(), HasSubstr("\"open_clip_model.safetensors\", {\"format\": \"pt\"})'"));
}

/// A checkpoint of the fixtures whose weights lie in two shards.
TEST(ShardedCheckpoint, AgreesWithTheReference) {
  VITRINE_NEED_FIXTURES();
  const TemporaryDirectory folder;
  const std::filesystem::path checkpoint = folder.path() / "model";
  link_checkpoint(fixtures() / "clip-small-gelu", checkpoint);
  std::map<std::string, FloatTensor> shards[2];
  nlohmann::json map;
  {
    const SafetensorsFile file(checkpoint / "model.safetensors");
    for (const auto& [name, tensor] : file.tensors()) {
      if (tensor.dtype != DType::kF32) continue;
      const std::size_t shard = shards[0].size() <= shards[1].size() ? 0 : 1;
      shards[shard][name] = {tensor.shape, read_floats(file, name)};
      map[name] = shard == 0 ? kFirst : kSecond;
    }
  }
  std::filesystem::remove(checkpoint / "model.safetensors");
  write_safetensors(checkpoint / kFirst, shards[0], DType::kF32);
  write_safetensors(checkpoint / kSecond, shards[1], DType::kF32);
  write_file_atomically(checkpoint / "model.safetensors.index.json",
                        nlohmann::json{{"weight_map", map}}.dump());
  const auto encoder = load_encoder(float32_on_cpu(checkpoint));
  expect_small_golden(*encoder, "clip-small-gelu");

  shards[1].begin()->second.values[0] += 1;
  write_safetensors(checkpoint / kSecond, shards[1], DType::kF32);
  EXPECT_NE(load_encoder(float32_on_cpu(checkpoint))->fingerprint(), encoder->fingerprint());
}

}  // namespace
}  // namespace vitrine::encoder
