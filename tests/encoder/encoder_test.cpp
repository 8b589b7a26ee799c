#include "encoder/encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "encoder/cpu/kernels.h"
#include "encoder/image_decoder.h"
#include "encoder/safetensors.h"
#include "tests/encoder/fixtures.h"
#include "tests/encoder/golden_embeddings.h"
#include "tests/encoder/tensors.h"

namespace vitrine::encoder {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kSmall = "clip-small-patch16";

class EncoderTest : public testing::Test {
 protected:
  std::filesystem::path checkpoint() const { return folder_.path() / "model"; }
  EncoderOptions options() const { return float32_on_cpu(checkpoint(), 5); }

  void link(const std::string& name) const { link_checkpoint(fixtures() / name, checkpoint()); }

  /// A file of the linked checkpoint with other content.
  void replace(const char* name, const std::string& content) const {
    std::filesystem::remove(checkpoint() / name);
    std::ofstream(checkpoint() / name, std::ios::binary) << content;
  }

  /// The weights of the linked checkpoint, whose file is taken away, for another to be written.
  std::map<std::string, FloatTensor> take_weights() const {
    std::map<std::string, FloatTensor> tensors;
    const std::filesystem::path path = checkpoint() / "model.safetensors";
    {
      const SafetensorsFile file(path);
      for (const auto& [name, tensor] : file.tensors()) {
        if (!name.ends_with("position_ids")) {
          tensors[name] = {tensor.shape, read_floats(file, name)};
        }
      }
    }
    std::filesystem::remove(path);
    return tensors;
  }

  Error refusal() const {
    try {
      load_encoder(options());
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "the checkpoint is accepted";
    return internal_error("");
  }

  TemporaryDirectory folder_;
};

class GoldenCheckpoint : public EncoderTest, public testing::WithParamInterface<const char*> {};

TEST_P(GoldenCheckpoint, AgreesWithTheReference) {
  VITRINE_NEED_FIXTURES();
  link(GetParam());
  const auto encoder = load_encoder(options());
  const nlohmann::json description = read_json(fixtures() / "clip_small_golden.json");
  std::vector<std::string> texts;
  for (const auto& text : description["texts"]) texts.push_back(text["text"]);
  std::vector<Image> images;
  for (const auto& file : description["images"]) {
    images.push_back(decode_image(read_all(fixtures() / "images" / file.get<std::string>())));
  }
  expect_golden(*encoder, encoder->encode_images(images), encoder->encode_texts(texts),
                SafetensorsFile(fixtures() / "clip_small_golden.safetensors"),
                std::string(GetParam()) + "/");
}

TEST_P(GoldenCheckpoint, StaysNearFloat32InLessPreciseArithmetic) {
  VITRINE_NEED_FIXTURES();
  link(GetParam());
  const auto float32 = load_encoder(options());
  std::vector<Image> images;
  for (const auto& entry : std::filesystem::directory_iterator(fixtures() / "images")) {
    try {
      images.push_back(float32->prepare(decode_image(read_all(entry.path()))));
    } catch (const Error&) {
      continue;  // formats that are refused: image_decoder_test knows which
    }
  }
  ASSERT_GT(images.size(), 40U);
  std::vector<std::string> texts;
  std::ifstream lines(fixtures() / "tokenizer_golden.jsonl");
  for (std::string line; std::getline(lines, line);) {
    texts.push_back(nlohmann::json::parse(line)["text"]);
  }
  ASSERT_GT(texts.size(), 500U);
  const Matrix image_embeddings = float32->encode_prepared(images);
  const Matrix text_embeddings = float32->encode_texts(texts);
  for (const auto& [precision, cosine] :
       {std::pair{Precision::kBFloat16, kBFloat16Cosine}, {Precision::kInt8, kInt8Cosine}}) {
    EncoderOptions rounded = options();
    rounded.precision = precision;
    const auto encoder = load_encoder(rounded);
    EXPECT_EQ(encoder->info().precision, to_string(precision));
    // What int8 encodes is compared with nothing else.
    EXPECT_EQ(encoder->fingerprint() == float32->fingerprint(), precision != Precision::kInt8);
    expect_cosine(encoder->encode_prepared(images), image_embeddings, cosine, "images");
    expect_cosine(encoder->encode_texts(texts), text_embeddings, cosine, "texts");
  }
}

INSTANTIATE_TEST_SUITE_P(Small, GoldenCheckpoint,
                         testing::Values("clip-small-quickgelu", "clip-small-gelu",
                                         "clip-small-f16", kSmall));

TEST_F(EncoderTest, EncodesInTwoStepsAndInBatchesAlike) {
  VITRINE_NEED_FIXTURES();
  link(kSmall);
  const auto encoder = load_encoder(options());
  const Image image = decode_image(read_all(fixtures() / "images/rgba.png"));
  const std::vector<Image> images(7, image);
  const std::vector<Image> prepared(7, encoder->prepare(image));
  const Matrix direct = encoder->encode_images(images);
  const Matrix stepped = encoder->encode_prepared(prepared);
  ASSERT_EQ(direct.rows(), 7U);
  ASSERT_EQ(direct.cols(), static_cast<std::size_t>(encoder->dimension()));
  for (std::size_t row = 0; row < 7; ++row) {
    for (std::size_t c = 0; c < direct.cols(); ++c) {
      EXPECT_EQ(direct.row(row)[c], stepped.row(row)[c]);
      EXPECT_NEAR(direct.row(row)[c], direct.row(0)[c], 1e-5F);
    }
  }
  EXPECT_EQ(encoder->encode_images({}).rows(), 0U);
  EXPECT_EQ(encoder->encode_texts({}).rows(), 0U);
}

TEST_F(EncoderTest, AnswersManyThreadsAtOnce) {
  VITRINE_NEED_FIXTURES();
  link(kSmall);
  const auto encoder = load_encoder(options());
  const std::vector<std::string> texts = {"a red dress", "blue jeans"};
  const Matrix expected = encoder->encode_texts(texts);
  std::vector<Matrix> results(4);
  std::vector<std::thread> threads;
  for (Matrix& result : results) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) result = encoder->encode_texts(texts);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Matrix& result : results) {
    for (std::size_t i = 0; i < expected.rows() * expected.cols(); ++i) {
      EXPECT_NEAR(result.data()[i], expected.data()[i], 1e-5F);
    }
  }
}

TEST_F(EncoderTest, RefusesBadInputAndGoesOn) {
  VITRINE_NEED_FIXTURES();
  link(kSmall);
  const auto encoder = load_encoder(options());
  const std::vector<std::string> malformed = {"fine", "bad \xff"};
  EXPECT_THROW(encoder->encode_texts(malformed), Error);
  EXPECT_THROW(encoder->encode_images(std::vector<Image>(1)), Error);
  EXPECT_EQ(encoder->encode_texts(std::vector<std::string>{"", std::string(5000, 'x')}).rows(), 2U);
}

TEST_F(EncoderTest, DescribesItself) {
  VITRINE_NEED_FIXTURES();
  link(kSmall);
  const auto encoder = load_encoder(options());
  const EncoderInfo info = encoder->info();
  EXPECT_EQ(info.architecture, "clip");
  EXPECT_EQ(info.format, "transformers");
  EXPECT_EQ(info.dimension, 48);
  EXPECT_EQ(info.image_size, 224);
  EXPECT_EQ(info.context_length, 77);
  EXPECT_EQ(info.vocab_size, 49408);
  EXPECT_GT(info.parameters, 1'000'000);
  EXPECT_EQ(encoder->fingerprint().size(), 64U);
}

TEST_F(EncoderTest, RunsOnTheInstructionSetThatIsAskedFor) {
  VITRINE_NEED_FIXTURES();
  link(kSmall);
  const std::vector<std::string> texts = {"a red dress", "blue jeans"};
  const Matrix expected = load_encoder(options())->encode_texts(texts);
  for (const cpu::KernelSet set : cpu::supported_kernel_sets()) {
    EncoderOptions asked = options();
    asked.kernels = to_string(set);
    const auto encoder = load_encoder(asked);
    EXPECT_EQ(encoder->info().kernels, asked.kernels);
    const Matrix actual = encoder->encode_texts(texts);
    for (std::size_t i = 0; i < expected.rows() * expected.cols(); ++i) {
      EXPECT_NEAR(actual.data()[i], expected.data()[i], 1e-5F) << asked.kernels;
    }
  }
  EncoderOptions portable = options();
  portable.precision = Precision::kAuto;
  portable.kernels = "portable";
  EXPECT_EQ(load_encoder(portable)->info().precision, "float32");
  EncoderOptions unknown = options();
  unknown.kernels = "sse9";
  try {
    load_encoder(unknown);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("\"sse9\"; this CPU has: auto, portable"));
  }
}

TEST_F(EncoderTest, FingerprintChangesWithEveryFile) {
  VITRINE_NEED_FIXTURES();
  link(kSmall);
  std::string last = load_encoder(options())->fingerprint();
  EXPECT_EQ(load_encoder(options())->fingerprint(), last);
  for (const char* name : {"config.json", "vocab.json", "merges.txt", "preprocessor_config.json"}) {
    replace(name, read_all(checkpoint() / name) + "\n");
    const std::string next = load_encoder(options())->fingerprint();
    EXPECT_NE(next, last) << name;
    last = next;
  }
}

TEST_F(EncoderTest, FingerprintChangesWithTheAddedTokensOfEveryFile) {
  VITRINE_NEED_FIXTURES();
  link(kSmall);
  // "photo" as a token that is found before the text is split into words.
  const std::pair<const char*, const char*> files[] = {
      {"tokenizer.json", R"({"added_tokens": [{"id": 1125, "content": "photo</w>"}]})"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"1125": {"content": "photo</w>"}}})"},
      {"added_tokens.json", R"({"photo</w>": 1125})"}};
  for (const auto& [name, text] : files) std::filesystem::remove(checkpoint() / name);
  const auto without = load_encoder(options());
  std::set<std::string> fingerprints = {without->fingerprint()};
  for (const auto& [name, text] : files) {
    replace(name, text);
    const auto with = load_encoder(options());
    EXPECT_NE(with->tokenize("photo</w>").ids, without->tokenize("photo</w>").ids) << name;
    EXPECT_TRUE(fingerprints.insert(with->fingerprint()).second) << name;
    std::filesystem::remove(checkpoint() / name);
  }
  EXPECT_EQ(load_encoder(options())->fingerprint(), without->fingerprint());
}

TEST_F(EncoderTest, RefusesWeightsThatAreNotFinite) {
  VITRINE_NEED_FIXTURES();
  link(kSmall);
  std::map<std::string, FloatTensor> tensors = take_weights();
  for (const std::string& name :
       {std::string("text_model.embeddings.token_embedding.weight"),
        std::string("vision_model.encoder.layers.0.mlp.fc1.bias"), std::string("logit_scale")}) {
    for (const float bad :
         {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::quiet_NaN()}) {
      float& value = tensors.at(name).values.back();
      const float good = std::exchange(value, bad);
      write_safetensors(checkpoint() / "model.safetensors", tensors, DType::kF32);
      value = good;
      const Error error = refusal();
      EXPECT_EQ(error.code(), ErrorCode::kCorruption);
      EXPECT_THAT(error.what(), AllOf(HasSubstr(checkpoint().string()),
                                      HasSubstr("weight " + name + " has a value that is not")));
    }
  }
}

TEST_F(EncoderTest, ListsEveryDifferenceBetweenWeightsAndConfig) {
  VITRINE_NEED_FIXTURES();
  link(kSmall);
  std::map<std::string, FloatTensor> tensors = take_weights();
  tensors.erase("visual_projection.weight");
  tensors["surplus"] = {{2}, {1, 2}};
  tensors["text_model.final_layer_norm.bias"] = {{3}, {1, 2, 3}};
  tensors["vision_model.embeddings.position_ids"] = {{1}, {0}};
  write_safetensors(checkpoint() / "model.safetensors", tensors, DType::kF32);
  const Error error = refusal();
  EXPECT_EQ(error.code(), ErrorCode::kCorruption);
  EXPECT_THAT(error.what(), HasSubstr("model.safetensors does not match config.json in 3 places"));
  EXPECT_THAT(error.what(), HasSubstr("missing: visual_projection.weight [48, 64]"));
  EXPECT_THAT(error.what(), HasSubstr("unexpected: surplus [2]"));
  EXPECT_THAT(error.what(),
              HasSubstr("shape: text_model.final_layer_norm.bias is [3], config.json needs [32]"));
}

TEST_F(EncoderTest, BelievesNoSizeThatTheFilesDoNotHave) {
  VITRINE_NEED_FIXTURES();
  link(kSmall);
  const nlohmann::json saved = read_json(checkpoint() / "config.json");
  const std::pair<const char*, const char*> claims[] = {
      {"/text_config/num_hidden_layers", "asks for 1048"},
      {"/vision_config/num_hidden_layers", "asks for 1048"},
      {"/text_config/vocab_size", "shape: text_model.embeddings.token_embedding.weight"},
      {"/text_config/max_position_embeddings",
       "shape: text_model.embeddings.position_embedding.weight"},
      {"/text_config/intermediate_size", "shape: text_model.encoder.layers.0.mlp.fc1.weight"},
      {"/projection_dim", "shape: visual_projection.weight"}};
  for (const auto& [place, message] : claims) {
    nlohmann::json config = saved;
    config[nlohmann::json::json_pointer(place)] = 1 << 20;
    replace("config.json", config.dump());
    const Error error = refusal();
    EXPECT_EQ(error.code(), ErrorCode::kCorruption) << place;
    EXPECT_THAT(error.what(), HasSubstr(message));
  }
  // Of three layers' tensors as many layers as there are tensors: each would be listed.
  nlohmann::json config = saved;
  config["text_config"]["num_hidden_layers"] = 20;
  replace("config.json", config.dump());
  EXPECT_THAT(refusal().what(), HasSubstr("config.json asks for 2"));
}

TEST_F(EncoderTest, RefusesAnEndTokenThatNoTextHas) {
  VITRINE_NEED_FIXTURES();
  link(kSmall);
  nlohmann::json config = read_json(checkpoint() / "config.json");
  config["text_config"]["eos_token_id"] = 49405;
  replace("config.json", config.dump());
  EXPECT_THAT(refusal().what(),
              HasSubstr("eos_token_id is 49405, the tokenizer's end token is 49407"));
}

TEST_F(EncoderTest, NamesTheMissingFile) {
  VITRINE_NEED_FIXTURES();
  for (const char* name : {"config.json", "model.safetensors", "vocab.json", "merges.txt",
                           "preprocessor_config.json"}) {
    std::filesystem::remove_all(checkpoint());
    link(kSmall);
    std::filesystem::remove(checkpoint() / "tokenizer.json");
    std::filesystem::remove(checkpoint() / name);
    const Error error = refusal();
    EXPECT_EQ(error.code(), ErrorCode::kNotFound) << name;
    EXPECT_THAT(error.what(), HasSubstr(name));
  }
}

TEST_F(EncoderTest, SaysWhyAFolderOfAnyModelTypeIsNotRead) {
  std::filesystem::create_directories(checkpoint());
  replace("config.json", R"({"model_type": "siglip"})");
  EXPECT_THAT(refusal().what(), HasSubstr("has no model.safetensors"));
  replace("pytorch_model.bin", "");
  EXPECT_THAT(refusal().what(), HasSubstr("pytorch_model.bin is a pickle"));
  replace("config.json", R"({"model_type": "siglip2"})");
  EXPECT_THAT(refusal().what(),
              HasSubstr("model_type is \"siglip2\"; it must be \"clip\" or \"siglip\""));
  replace("config.json", "{}");
  EXPECT_THAT(refusal().what(), HasSubstr("model_type is missing"));
  replace("config.json", R"({"open_clip_model_name": "hf-hub:shop/model"})");
  EXPECT_THAT(refusal().what(), HasSubstr("open_clip_config.json is missing"));
}

TEST_F(EncoderTest, KnowsWhatGitLfsLeavesInPlaceOfAFile) {
  VITRINE_NEED_FIXTURES();
  for (const char* name : {"config.json", "model.safetensors", "vocab.json"}) {
    std::filesystem::remove_all(checkpoint());
    link(kSmall);
    replace(name, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
    EXPECT_EQ(refusal().code(), ErrorCode::kNotFound);
    EXPECT_THAT(refusal().what(), HasSubstr(std::string(name) + " was not downloaded"));
  }
}

TEST_F(EncoderTest, ReadsTheImageProcessorFromWhereNewerCheckpointsHaveIt) {
  VITRINE_NEED_FIXTURES();
  link(kSmall);
  replace("processor_config.json", R"({"processor_class": "CLIPProcessor"})");
  const std::string fingerprint = load_encoder(options())->fingerprint();
  std::filesystem::remove(checkpoint() / "processor_config.json");
  EXPECT_EQ(load_encoder(options())->fingerprint(), fingerprint) << "of what is not read";

  nlohmann::json settings = read_json(checkpoint() / "preprocessor_config.json");
  std::filesystem::remove(checkpoint() / "preprocessor_config.json");
  replace("processor_config.json", R"({"processor_class": "CLIPProcessor"})");
  EXPECT_THAT(refusal().what(), HasSubstr("neither preprocessor_config.json nor a "
                                          "processor_config.json with \"image_processor\""));
  replace("processor_config.json", R"({"image_processor": 3})");
  EXPECT_THAT(refusal().what(), HasSubstr("processor_config.json: image_processor is 3"));
  replace("processor_config.json", nlohmann::json({{"image_processor", settings}}).dump());
  EXPECT_EQ(load_encoder(options())->info().image_size, 224);
  const std::string nested = load_encoder(options())->fingerprint();
  settings["image_mean"] = {0.5, 0.5, 0.5};
  replace("processor_config.json", nlohmann::json({{"image_processor", settings}}).dump());
  EXPECT_NE(load_encoder(options())->fingerprint(), nested);
  settings["resample"] = 2;
  replace("processor_config.json", nlohmann::json({{"image_processor", settings}}).dump());
  EXPECT_THAT(refusal().what(), HasSubstr("processor_config.json: image_processor.resample is 2"));
}

TEST_F(EncoderTest, NamesWhatItCannotLoad) {
  VITRINE_NEED_FIXTURES();
  link(kSmall);
  nlohmann::json config = read_json(checkpoint() / "config.json");
  const std::string weights = read_all(checkpoint() / "model.safetensors");
  replace("config.json", R"({"model_type": "bert"})");
  EXPECT_THAT(refusal().what(), HasSubstr("model_type is \"bert\""));
  replace("config.json", "{");
  EXPECT_THAT(refusal().what(), HasSubstr("config.json"));
  config["vision_config"]["image_size"] = 240;
  replace("config.json", config.dump());
  EXPECT_THAT(refusal().what(), HasSubstr("image_size is 240"));
  config["vision_config"]["image_size"] = 224;
  config["text_config"]["vocab_size"] = 100;
  replace("config.json", config.dump());
  EXPECT_THAT(refusal().what(), HasSubstr("vocab_size is 100"));
  config["text_config"].erase("vocab_size");
  replace("config.json", config.dump());
  replace("model.safetensors", weights.substr(0, weights.size() / 2));
  EXPECT_EQ(refusal().code(), ErrorCode::kCorruption);
  replace("model.safetensors", "");
  EXPECT_EQ(refusal().code(), ErrorCode::kCorruption);
  EXPECT_THROW(load_encoder({"", 0, 32}), Error);
  EXPECT_THROW(load_encoder({"x", -1, 32}), Error);
  EXPECT_THROW(load_encoder({"x", 0, 0}), Error);
}

}  // namespace
}  // namespace vitrine::encoder
