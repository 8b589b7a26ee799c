#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "encoder/clip_config.h"
#include "tests/encoder/fixtures.h"
#include "tests/encoder/golden_embeddings.h"

namespace vitrine::encoder {
namespace {

using testing::HasSubstr;

std::filesystem::path siglip_fixtures() {
  return std::filesystem::path(VITRINE_SOURCE_DIR) / "tests/encoder/fixtures/siglip";
}

/// Element i of tensor number t, in the order of the names, as the reference's weights were made:
/// see the README of the fixtures.
float weight(const std::string& name, const std::vector<std::int64_t>& shape, std::uint32_t t,
             std::uint32_t i) {
  const auto ends_with = [&](std::initializer_list<std::string_view> endings) {
    return std::ranges::any_of(endings, [&](auto ending) { return name.ends_with(ending); });
  };
  if (name == "logit_scale") return 2.5F;
  if (name == "logit_bias") return -4.25F;
  std::uint32_t h = i * 2654435761U + t * 40503U + 12345U;
  h = (h ^ (h >> 16)) * 2246822519U;
  h ^= h >> 13;
  const double u = (h >> 8) * 0x1p-24 - 0.5;
  if (ends_with({"norm.weight", "norm1.weight", "norm2.weight", "ln_1.weight", "ln_2.weight",
                 "ln_final.weight"})) {
    return static_cast<float>(u * 0.5 + 1);
  }
  if (ends_with({"bias"})) return static_cast<float>(u * 0.2);
  if (ends_with({"token_embedding.weight", "position_embedding.weight", "probe",
                 "positional_embedding", "pos_embed", "attn_pool.latent"})) {
    return static_cast<float>(u);
  }
  double inputs = 1;
  for (std::size_t axis = 1; axis < shape.size(); ++axis)
    inputs *= static_cast<double>(shape[axis]);
  return static_cast<float>(u * (4 / std::sqrt(inputs)));
}

std::map<std::string, FloatTensor> make_weights(const nlohmann::json& shapes) {
  std::map<std::string, FloatTensor> tensors;
  std::uint32_t t = 0;
  for (const auto& [name, value] : shapes.items()) {
    const auto shape = value.get<std::vector<std::int64_t>>();
    std::size_t elements = 1;
    for (const std::int64_t extent : shape) elements *= static_cast<std::size_t>(extent);
    FloatTensor tensor{shape, std::vector<float>(elements)};
    for (std::uint32_t i = 0; i < elements; ++i) tensor.values[i] = weight(name, shape, t, i);
    tensors.emplace(name, std::move(tensor));
    ++t;
  }
  return tensors;
}

std::vector<Image> make_images(int side) {
  std::vector<Image> images(4);
  for (int i = 0; i < 4; ++i) {
    Image& image = images[static_cast<std::size_t>(i)];
    image.width = image.height = side;
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) {
        for (int c = 0; c < 3; ++c) {
          image.rgb.push_back(
              static_cast<std::uint8_t>(y * 7 + x * 13 + c * 29 + i * 31 + y * x * (i + 1)));
        }
      }
    }
  }
  return images;
}

Matrix matrix(const nlohmann::json& rows) {
  Matrix result(rows.size(), rows[0].size());
  for (std::size_t i = 0; i < result.rows(); ++i) {
    for (std::size_t c = 0; c < result.cols(); ++c) result.row(i)[c] = rows[i][c].get<float>();
  }
  return result;
}

void expect_close(const Matrix& actual, const Matrix& expected, float limit, const char* what) {
  ASSERT_EQ(actual.rows(), expected.rows()) << what;
  ASSERT_EQ(actual.cols(), expected.cols()) << what;
  float largest = 0;
  for (std::size_t i = 0; i < actual.rows() * actual.cols(); ++i) {
    ASSERT_TRUE(std::isfinite(actual.data()[i])) << what;
    largest = std::max(largest, std::abs(actual.data()[i] - expected.data()[i]));
  }
  EXPECT_LE(largest, limit) << what;
  std::printf("  %s: largest difference %.3g\n", what, largest);
}

/// A checkpoint that a reference computed the embeddings of, written as it would be published.
class Siglip : public testing::Test {
 protected:
  std::filesystem::path checkpoint() const { return folder_.path() / "model"; }

  void write(const std::string& fixture) {
    golden_ = read_json(siglip_fixtures() / (fixture + ".json"));
    config_ = golden_["config"];
    std::filesystem::create_directories(checkpoint());
    write_config();
    write_safetensors(
        checkpoint() / (is_open_clip() ? "open_clip_model.safetensors" : "model.safetensors"),
        make_weights(golden_["tensors"]), DType::kF32);
    std::filesystem::copy(siglip_fixtures() / "../siglip_tokenizer/spiece.model",
                          checkpoint() / "spiece.model",
                          std::filesystem::copy_options::overwrite_existing);
    if (is_open_clip()) return;
    const auto side = config_["vision_config"]["image_size"];
    processor_ = {{"do_normalize", true},
                  {"do_rescale", true},
                  {"do_resize", true},
                  {"image_mean", {0.5, 0.5, 0.5}},
                  {"image_processor_type", "SiglipImageProcessor"},
                  {"image_std", {0.5, 0.5, 0.5}},
                  {"resample", 3},
                  {"rescale_factor", 0.00392156862745098},
                  {"size", {{"height", side}, {"width", side}}}};
    write_processor();
  }
  bool is_open_clip() const { return config_.contains("model_cfg"); }
  void write_config() const {
    write_file_atomically(checkpoint() / (is_open_clip() ? "open_clip_config.json" : "config.json"),
                          config_.dump());
  }
  void write_processor() const {
    write_file_atomically(checkpoint() / "preprocessor_config.json", processor_.dump());
  }
  std::unique_ptr<Encoder> load(Precision precision = Precision::kFloat32) const {
    EncoderOptions options = float32_on_cpu(checkpoint());
    options.precision = precision;
    return load_encoder(options);
  }
  std::string refusal(ErrorCode code) const {
    try {
      load();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "the checkpoint is accepted";
    return "";
  }
  /// The error when one field of the config has another value.
  std::string refusal_of(const char* place, const nlohmann::json& value) {
    const nlohmann::json saved = config_;
    config_[nlohmann::json::json_pointer(place)] = value;
    write_config();
    config_ = saved;
    return refusal(ErrorCode::kInvalidArgument);
  }

  std::vector<Image> images() const {
    const nlohmann::json::json_pointer place(is_open_clip() ? "/model_cfg/vision_cfg/image_size"
                                                            : "/vision_config/image_size");
    return make_images(config_[place].get<int>());
  }
  /// As the tokenizer gives them, without what pads them.
  std::vector<TokenizedText> texts() const {
    std::vector<TokenizedText> result;
    for (const auto& row : golden_["token_ids"]) {
      auto ids = row.get<std::vector<std::int32_t>>();
      while (ids.size() > 1 && ids[ids.size() - 2] == 1) ids.pop_back();
      result.push_back({std::move(ids), false});
    }
    return result;
  }

  TemporaryDirectory folder_;
  nlohmann::json golden_, config_, processor_;
};

class SiglipGolden : public Siglip, public testing::WithParamInterface<const char*> {};

TEST_P(SiglipGolden, AgreesWithTheReference) {
  write(GetParam());
  const auto encoder = load();
  const EncoderInfo info = encoder->info();
  EXPECT_EQ(info.architecture, "siglip");
  EXPECT_EQ(info.format, is_open_clip() ? "open_clip" : "transformers");
  EXPECT_EQ(info.parameters, [&] {
    std::int64_t count = 0;
    for (const auto& [name, tensor] : make_weights(golden_["tensors"])) {
      count += static_cast<std::int64_t>(tensor.values.size());
    }
    return count;
  }());

  const Matrix image_embeddings = encoder->encode_prepared(images());
  const Matrix text_embeddings = encoder->encode_tokenized(texts());
  // An erf in place of the tanh of the activation, or the other way round, is 6e-4 off.
  expect_close(image_embeddings, matrix(golden_["image_embeddings"]), 2e-5F, "images");
  expect_close(text_embeddings, matrix(golden_["text_embeddings"]), 2e-5F, "texts");

  ASSERT_TRUE(encoder->logit_bias());
  Matrix scores =
      logits(normalized(image_embeddings), normalized(text_embeddings), encoder->logit_scale());
  for (std::size_t i = 0; i < scores.rows() * scores.cols(); ++i) {
    scores.data()[i] += *encoder->logit_bias();
  }
  expect_close(scores, matrix(golden_["logits_per_image"]), 2e-5F, "logits");
}

TEST_P(SiglipGolden, LosesLittleInLowerPrecision) {
  write(GetParam());
  const Matrix image_embeddings = matrix(golden_["image_embeddings"]);
  const Matrix text_embeddings = matrix(golden_["text_embeddings"]);
  for (const auto& [precision, least] :
       {std::pair{Precision::kBFloat16, kBFloat16Cosine}, {Precision::kInt8, kInt8Cosine}}) {
    const auto encoder = load(precision);
    expect_cosine(encoder->encode_prepared(images()), image_embeddings, least, "images");
    expect_cosine(encoder->encode_tokenized(texts()), text_embeddings, least, "texts");
  }
}

INSTANTIATE_TEST_SUITE_P(Small, SiglipGolden,
                         testing::Values("transformers", "transformers_projected", "open_clip",
                                         "open_clip_tanh"));

TEST_F(Siglip, ReadsATextToItsEndAndSaysWhatWasCut) {
  write("transformers");
  const auto encoder = load();
  const TokenizedText read = encoder->tokenize("A red dress!");
  EXPECT_EQ(read.ids, encoder->tokenize("a  RED dress").ids);
  EXPECT_EQ(read.ids.back(), 1);
  EXPECT_FALSE(read.truncated);
  std::string many;
  for (int i = 0; i < 40; ++i) many += "dress ";
  const TokenizedText cut = encoder->tokenize(many);
  EXPECT_EQ(cut.ids.size(), 16U);
  EXPECT_EQ(cut.ids.back(), 1);
  EXPECT_TRUE(cut.truncated);
}

TEST_F(Siglip, ResizesWithoutCropping) {
  write("transformers");
  const auto encoder = load();
  Image wide;
  wide.width = 64;
  wide.height = 16;
  for (int i = 0; i < 64 * 16; ++i) {
    wide.rgb.insert(wide.rgb.end(), 3, i % 64 < 8 ? 255 : 0);  // a stripe at the left edge
  }
  const Image prepared = encoder->prepare(wide);
  EXPECT_EQ(prepared.width, 32);
  EXPECT_EQ(prepared.height, 32);
  EXPECT_GT(prepared.rgb.front(), 200);
  EXPECT_LT(prepared.rgb[31 * 3], 50);
}

TEST_F(Siglip, TakesTheDefaultsOfTheReferenceForWhatItsFilesLeaveOut) {
  write("transformers");
  write_file_atomically(checkpoint() / "config.json",
                        R"({"model_type": "siglip", "text_config": {}, "vision_config": {}})");
  const ClipConfig config = parse_siglip_config(checkpoint() / "config.json");
  EXPECT_EQ(config.text.vocab_size, 32000);
  EXPECT_EQ(config.text.context_length, 64);
  EXPECT_EQ(config.projection_dim, 768);
  EXPECT_EQ(config.vision.tokens(), 196);
  for (const TowerConfig& tower : {config.text.tower, config.vision.tower}) {
    EXPECT_EQ(tower.width, 768);
    EXPECT_EQ(tower.mlp_width, 3072);
    EXPECT_EQ(tower.layers, 12);
    EXPECT_EQ(tower.heads, 12);
    EXPECT_EQ(tower.layer_norm_eps, 1e-6);
    EXPECT_EQ(tower.activation, Activation::kGeluTanh);
  }
  // Here the files are of another size, and every difference is named.
  EXPECT_THAT(refusal(ErrorCode::kInvalidArgument), HasSubstr("image_size is 224"));

  write("transformers");
  for (const char* key : {"image_mean", "image_std", "resample"}) processor_.erase(key);
  write_processor();
  expect_close(load()->encode_prepared(images()), matrix(golden_["image_embeddings"]), 2e-5F,
               "images");
}

TEST_F(Siglip, NamesTheFieldThatAsksForSomethingElse) {
  write("transformers");
  EXPECT_THAT(refusal_of("/text_config/hidden_act", "relu"), HasSubstr("hidden_act"));
  EXPECT_THAT(refusal_of("/vision_config/vision_use_head", false), HasSubstr("vision_use_head"));
  EXPECT_THAT(refusal_of("/text_config/projection_size", 32), HasSubstr("hidden_size"));
  EXPECT_THAT(refusal_of("/text_config/vocab_size", 100), HasSubstr("vocab_size is 100"));
  write_config();
  for (const nlohmann::json& type :
       std::initializer_list<nlohmann::json>{"CLIPImageProcessor", "Siglip2ImageProcessor", 3}) {
    processor_["image_processor_type"] = type;
    write_processor();
    EXPECT_THAT(refusal(ErrorCode::kInvalidArgument), HasSubstr("image_processor_type"));
  }
  for (const char* type : {"SiglipImageProcessorFast", "SiglipImageProcessorPil"}) {
    processor_["image_processor_type"] = type;
    write_processor();
    load();
  }
  processor_["resample"] = 2;
  write_processor();
  EXPECT_THAT(refusal(ErrorCode::kInvalidArgument), HasSubstr("resample"));
}

TEST_F(Siglip, NamesTheKeyOfOpenClipThatAsksForSomethingElse) {
  write("open_clip");
  const std::string text = "/model_cfg/text_cfg/", vision = "/model_cfg/vision_cfg/";
  const std::pair<std::string, nlohmann::json> cases[] = {
      {text + "pool_type", "eos"},
      {text + "proj_bias", false},
      {text + "tokenizer_kwargs/clean", "whitespace"},
      {text + "tokenizer_kwargs/strip_sep_token", true},
      {text + "norm_kwargs/elementwise_affine", true},
      {text + "act_kwargs", {{"approximate", "no"}}},
      {text + "embed_cls", true},
      {vision + "timm_model_name", "vit_base_patch16_224"},
      {vision + "timm_pool", "avg"},
      {vision + "timm_proj", "linear"},
      {vision + "timm_model_kwargs/act_layer", "silu"},
      {vision + "timm_model_kwargs/qk_norm", true},
      {vision + "timm_model_kwargs/num_heads", 5},
      {vision + "timm_model_kwargs/img_size", 64},
      {"/model_cfg/embed_dim", 32},
  };
  for (const auto& [place, value] : cases) {
    const std::string key = place.substr(place.rfind('/') + 1);
    EXPECT_THAT(refusal_of(place.c_str(), value),
                HasSubstr(key == "act_kwargs" ? "approximate" : key))
        << place;
  }
}

TEST_F(Siglip, ReadsAModelThatAClassOfItsOwnWraps) {
  write("open_clip");
  std::map<std::string, FloatTensor> wrapped;
  for (auto& [name, tensor] : make_weights(golden_["tensors"])) wrapped["model." + name] = tensor;
  std::filesystem::remove(checkpoint() / "open_clip_model.safetensors");
  write_safetensors(checkpoint() / "model.safetensors", wrapped, DType::kF32);
  // As Marqo-FashionSigLIP's, which says little of the model.
  write_file_atomically(checkpoint() / "config.json",
                        R"({"model_type": "siglip", "open_clip_model_name": "hf-hub:shop/model"})");
  expect_close(load()->encode_prepared(images()), matrix(golden_["image_embeddings"]), 2e-5F,
               "images");
}

TEST_F(Siglip, ListsWhatItsWeightsLack) {
  write("transformers");
  auto tensors = make_weights(golden_["tensors"]);
  tensors.erase("vision_model.head.attention.in_proj_weight");
  tensors.erase("logit_bias");
  tensors["text_model.head.weight"].shape = {32, 128};
  write_safetensors(checkpoint() / "model.safetensors", tensors, DType::kF32);
  const std::string message = refusal(ErrorCode::kCorruption);
  EXPECT_THAT(message, HasSubstr("missing: vision_model.head.attention.in_proj_weight [192, 64]"));
  EXPECT_THAT(message, HasSubstr("missing: logit_bias"));
  EXPECT_THAT(message, HasSubstr("shape: text_model.head.weight"));
}

}  // namespace
}  // namespace vitrine::encoder
