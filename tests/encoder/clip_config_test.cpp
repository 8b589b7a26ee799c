#include "encoder/clip_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"

namespace vitrine::encoder {
namespace {

class ClipConfigFile : public ::testing::Test {
 protected:
  ClipConfig parse_file(const std::string& text) {
    write_file_atomically(path(), text);
    return parse_clip_config(path());
  }
  /// A CLIP config with these further fields.
  ClipConfig parse(const std::string& fields) {
    return parse_file(R"({"model_type": "clip")" + (fields.empty() ? "" : ", " + fields) + "}");
  }
  /// The error with which a config of these fields is refused.
  std::string message_of(const std::string& fields) {
    try {
      parse(fields);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    return "no error";
  }
  std::string file_message_of(const std::string& text, ErrorCode code) {
    try {
      parse_file(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      EXPECT_THAT(error.what(), ::testing::HasSubstr("config.json"));
      return error.what();
    }
    return "no error";
  }
  std::filesystem::path path() const { return folder_.path() / "config.json"; }

 private:
  TemporaryDirectory folder_;
};

TEST_F(ClipConfigFile, TakesHuggingFacesDefaultsForWhatIsLeftOut) {
  const ClipConfig config = parse("");
  EXPECT_EQ(config.projection_dim, 512);
  EXPECT_EQ(config.text.tower.width, 512);
  EXPECT_EQ(config.text.tower.heads, 8);
  EXPECT_EQ(config.text.eos_token_id, 49407);
  EXPECT_EQ(config.vision.tower.width, 768);
  EXPECT_EQ(config.vision.patch_size, 32);
  EXPECT_EQ(config.vision.tower.activation, Activation::kQuickGelu);
}

TEST_F(ClipConfigFile, ReadsBothTowers) {
  const ClipConfig config = parse(R"("projection_dim": 40,
    "text_config": {"hidden_size": 48, "num_attention_heads": 4, "eos_token_id": 2},
    "vision_config": {"hidden_act": "gelu", "layer_norm_eps": 1e-6, "image_size": 56,
                      "patch_size": 14})");
  EXPECT_EQ(config.projection_dim, 40);
  EXPECT_EQ(config.text.tower.width, 48);
  EXPECT_EQ(config.text.eos_token_id, 2);
  EXPECT_EQ(config.vision.tower.activation, Activation::kGelu);
  EXPECT_DOUBLE_EQ(config.vision.tower.layer_norm_eps, 1e-6);
  EXPECT_EQ(config.vision.image_size, 56);
}

TEST_F(ClipConfigFile, PrefersTheDictFormOfOldConfigs) {
  const ClipConfig config =
      parse(R"("text_config": {"hidden_size": 64}, "text_config_dict": {"hidden_size": 128},
               "vision_config": {"hidden_size": 96}, "vision_config_dict": null)");
  EXPECT_EQ(config.text.tower.width, 128);
  EXPECT_EQ(config.vision.tower.width, 96);
}

TEST_F(ClipConfigFile, NamesTheFileAndTheFieldThatIsWrong) {
  using ::testing::AllOf;
  using ::testing::HasSubstr;
  EXPECT_THAT(message_of(R"("vision_config": {"patch_size": -1})"),
              AllOf(HasSubstr("config.json"), HasSubstr("vision_config.patch_size is -1")));
  EXPECT_THAT(message_of(R"("vision_config": {"patch_size": 225})"),
              HasSubstr("must not exceed image_size"));
  EXPECT_THAT(message_of(R"("text_config": {"hidden_act": "swish"})"),
              HasSubstr("text_config.hidden_act"));
  EXPECT_THAT(message_of(R"("text_config": {"num_attention_heads": 7})"),
              HasSubstr("text_config.num_attention_heads is 7; it must divide"));
  EXPECT_THAT(message_of(R"("text_config": {"layer_norm_eps": 0})"),
              HasSubstr("text_config.layer_norm_eps is 0; it must be a number in (0, 1)"));
  EXPECT_THAT(message_of(R"("text_config": {"num_hidden_layers": 18446744073709551615})"),
              HasSubstr("text_config.num_hidden_layers"));
  EXPECT_THAT(message_of(R"("text_config": 3)"), HasSubstr("text_config"));
}

TEST_F(ClipConfigFile, RefusesWhatIsNoClipConfig) {
  using ::testing::HasSubstr;
  EXPECT_THAT(file_message_of(R"({"model_type": "bert"})", ErrorCode::kInvalidArgument),
              HasSubstr("model_type is \"bert\"; it must be \"clip\""));
  EXPECT_THAT(file_message_of("{}", ErrorCode::kInvalidArgument),
              HasSubstr("model_type is missing"));
  EXPECT_THAT(file_message_of("{", ErrorCode::kCorruption), HasSubstr("not JSON"));
  EXPECT_THAT(file_message_of("[]", ErrorCode::kCorruption), HasSubstr("not a JSON object"));
  EXPECT_THAT(
      file_message_of(R"({"text_config": )" + std::string(100'000, '['), ErrorCode::kCorruption),
      HasSubstr("nested too deeply"));
  EXPECT_THAT(file_message_of("{}" + std::string(1 << 20, ' '), ErrorCode::kResourceExhausted),
              HasSubstr("at most 1048576"));
}

TEST_F(ClipConfigFile, SaysThatAMissingFileIsMissing) {
  try {
    parse_clip_config(path());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  }
}

}  // namespace
}  // namespace vitrine::encoder
