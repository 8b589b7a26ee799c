#include "encoder/open_clip_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "tests/encoder/fixtures.h"
#include "tests/encoder/golden_embeddings.h"
#include "tests/encoder/tensors.h"

namespace vitrine::encoder {
namespace {

using testing::HasSubstr;

using Tensors = std::map<std::string, FloatTensor>;

FloatTensor transposed(const FloatTensor& tensor) {
  const auto rows = static_cast<std::size_t>(tensor.shape.at(0));
  const auto columns = static_cast<std::size_t>(tensor.shape.at(1));
  FloatTensor result{{tensor.shape[1], tensor.shape[0]}, std::vector<float>(tensor.values.size())};
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      result.values[j * rows + i] = tensor.values[i * columns + j];
    }
  }
  return result;
}

FloatTensor stacked(std::initializer_list<FloatTensor> tensors) {
  FloatTensor result{tensors.begin()->shape, {}};
  result.shape[0] *= static_cast<std::int64_t>(tensors.size());
  for (const FloatTensor& tensor : tensors) {
    result.values.insert(result.values.end(), tensor.values.begin(), tensor.values.end());
  }
  return result;
}

/// A tower's tensors under open_clip's names.
void convert_tower(const Tensors& from, const std::string& tower, int layers,
                   const std::string& prefix, Tensors& to) {
  for (int layer = 0; layer < layers; ++layer) {
    const std::string source = tower + ".encoder.layers." + std::to_string(layer) + ".";
    const std::string target = prefix + "transformer.resblocks." + std::to_string(layer) + ".";
    for (const std::string kind : {"weight", "bias"}) {
      to[target + "ln_1." + kind] = from.at(source + "layer_norm1." + kind);
      to[target + "ln_2." + kind] = from.at(source + "layer_norm2." + kind);
      to[target + "mlp.c_fc." + kind] = from.at(source + "mlp.fc1." + kind);
      to[target + "mlp.c_proj." + kind] = from.at(source + "mlp.fc2." + kind);
      to[target + "attn.out_proj." + kind] = from.at(source + "self_attn.out_proj." + kind);
      to[target + "attn.in_proj_" + kind] = stacked({from.at(source + "self_attn.q_proj." + kind),
                                                     from.at(source + "self_attn.k_proj." + kind),
                                                     from.at(source + "self_attn.v_proj." + kind)});
    }
  }
}

/// A checkpoint of the fixtures, written anew as open_clip would have published it.
class OpenClip : public testing::Test {
 protected:
  std::filesystem::path checkpoint() const { return folder_.path() / "model"; }
  std::filesystem::path weights_path() const {
    return checkpoint() / "open_clip_model.safetensors";
  }

  void convert(const std::string& name) {
    const SafetensorsFile file(fixtures() / name / "model.safetensors");
    const ClipConfig config = parse_clip_config(fixtures() / name / "config.json");
    const bool half = file.tensors().at("logit_scale").dtype == DType::kF16;
    Tensors from;
    for (const auto& [tensor, info] : file.tensors()) {
      if (!tensor.ends_with("position_ids")) from[tensor] = {info.shape, read_floats(file, tensor)};
    }
    weights_ = {
        {"logit_scale", from.at("logit_scale")},
        {"token_embedding.weight", from.at("text_model.embeddings.token_embedding.weight")},
        {"positional_embedding", from.at("text_model.embeddings.position_embedding.weight")},
        {"ln_final.weight", from.at("text_model.final_layer_norm.weight")},
        {"ln_final.bias", from.at("text_model.final_layer_norm.bias")},
        {"text_projection", transposed(from.at("text_projection.weight"))},
        {"visual.class_embedding", from.at("vision_model.embeddings.class_embedding")},
        {"visual.conv1.weight", from.at("vision_model.embeddings.patch_embedding.weight")},
        {"visual.positional_embedding",
         from.at("vision_model.embeddings.position_embedding.weight")},
        {"visual.ln_pre.weight", from.at("vision_model.pre_layrnorm.weight")},
        {"visual.ln_pre.bias", from.at("vision_model.pre_layrnorm.bias")},
        {"visual.ln_post.weight", from.at("vision_model.post_layernorm.weight")},
        {"visual.ln_post.bias", from.at("vision_model.post_layernorm.bias")},
        {"visual.proj", transposed(from.at("visual_projection.weight"))}};
    convert_tower(from, "text_model", static_cast<int>(config.text.tower.layers), "", weights_);
    convert_tower(from, "vision_model", static_cast<int>(config.vision.tower.layers), "visual.",
                  weights_);

    const auto mlp_ratio = [](const TowerConfig& tower) {  // open_clip rounds the width down
      return (static_cast<double>(tower.mlp_width) + 0.5) / static_cast<double>(tower.width);
    };
    const TowerConfig& vision = config.vision.tower;
    const TowerConfig& text = config.text.tower;
    config_ = {{"model_cfg",
                {{"embed_dim", config.projection_dim},
                 {"quick_gelu", text.activation == Activation::kQuickGelu},
                 {"vision_cfg",
                  {{"image_size", config.vision.image_size},
                   {"layers", vision.layers},
                   {"width", vision.width},
                   {"head_width", vision.width / vision.heads},
                   {"mlp_ratio", mlp_ratio(vision)},
                   {"patch_size", config.vision.patch_size}}},
                 {"text_cfg",
                  {{"context_length", config.text.context_length},
                   {"vocab_size", config.text.vocab_size},
                   {"width", text.width},
                   {"heads", text.heads},
                   {"layers", text.layers},
                   {"mlp_ratio", mlp_ratio(text)}}}}},
               {"preprocess_cfg",
                {{"mean", {0.48145466, 0.4578275, 0.40821073}},
                 {"std", {0.26862954, 0.26130258, 0.27577711}},
                 {"interpolation", "bicubic"},
                 {"resize_mode", "shortest"}}}};

    std::filesystem::create_directories(checkpoint());
    for (const char* file_name : {"vocab.json", "merges.txt"}) {
      std::filesystem::create_symlink(
          std::filesystem::absolute(fixtures() / "clip-bpe" / file_name), checkpoint() / file_name);
    }
    write_config();
    write_safetensors(weights_path(), weights_, half ? DType::kF16 : DType::kF32);
  }

  void write_config() const {
    write_file_atomically(checkpoint() / "open_clip_config.json", config_.dump());
  }
  std::unique_ptr<Encoder> load() const { return load_encoder(float32_on_cpu(checkpoint())); }
  Error refusal() const {
    try {
      load();
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "the checkpoint is accepted";
    return internal_error("");
  }
  /// The error when one field of the config has another value.
  std::string refusal_of(const char* place, const nlohmann::json& value) {
    const nlohmann::json saved = config_;
    config_[nlohmann::json::json_pointer(place)] = value;
    write_config();
    config_ = saved;
    const Error error = refusal();
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << place;
    return error.what();
  }

  TemporaryDirectory folder_;
  Tensors weights_;
  nlohmann::json config_;
};

class OpenClipGolden : public OpenClip, public testing::WithParamInterface<const char*> {};

TEST_P(OpenClipGolden, AgreesWithTheReference) {
  VITRINE_NEED_FIXTURES();
  convert(GetParam());
  const auto encoder = load();
  EXPECT_EQ(encoder->info().format, "open_clip");
  expect_small_golden(*encoder, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Small, OpenClipGolden,
                         testing::Values("clip-small-quickgelu", "clip-small-gelu",
                                         "clip-small-f16", "clip-small-patch16"));

TEST_F(OpenClip, FingerprintsWhatIsDoneToTexts) {
  VITRINE_NEED_FIXTURES();
  convert("clip-small-gelu");
  const auto encoder = load();
  EXPECT_EQ(encoder->tokenize("women\u2019s &amp; men").ids,
            encoder->tokenize("women's & men").ids);
  std::string lines;
  for (const char* name :
       {"merges.txt", "open_clip_config.json", "open_clip_model.safetensors", "vocab.json"}) {
    lines += std::string(name) + " " + to_hex(sha256_file(checkpoint() / name)) + "\n";
  }
  EXPECT_EQ(encoder->fingerprint(), to_hex(sha256(lines + "text repair 1\n")));
}

TEST_F(OpenClip, ReadsAModelThatATransformersClassWraps) {
  VITRINE_NEED_FIXTURES();
  convert("clip-small-gelu");
  Tensors wrapped;
  for (const auto& [name, tensor] : weights_) wrapped["model." + name] = tensor;
  std::filesystem::remove(weights_path());
  write_safetensors(checkpoint() / "model.safetensors", wrapped, DType::kF32);
  write_file_atomically(checkpoint() / "config.json",
                        R"({"model_type": "clip", "open_clip_model_name": "hf-hub:a/b"})");
  const auto encoder = load();
  EXPECT_EQ(encoder->info().format, "open_clip");
  expect_small_golden(*encoder, "clip-small-gelu");

  std::filesystem::remove(checkpoint() / "open_clip_config.json");
  EXPECT_EQ(refusal().code(), ErrorCode::kNotFound);
  EXPECT_THAT(refusal().what(), HasSubstr("open_clip_config.json is missing"));
}

TEST_F(OpenClip, GivesWayToACompleteTransformersCheckpoint) {
  VITRINE_NEED_FIXTURES();
  convert("clip-small-gelu");
  for (const char* name : {"config.json", "preprocessor_config.json"}) {
    std::filesystem::copy(fixtures() / "clip-small-gelu" / name, checkpoint() / name);
  }
  EXPECT_EQ(load()->info().format, "open_clip") << "the weights are open_clip's";
  std::filesystem::copy(fixtures() / "clip-small-gelu/model.safetensors",
                        checkpoint() / "model.safetensors");
  EXPECT_EQ(load()->info().format, "transformers");
}

TEST_F(OpenClip, NamesTheKeyThatIsNotSupported) {
  VITRINE_NEED_FIXTURES();
  convert("clip-small-gelu");
  const std::pair<const char*, nlohmann::json> cases[] = {
      {"/model_cfg/vision_cfg/timm_model_name", "vit_base_patch16_clip_224"},
      {"/model_cfg/vision_cfg/layers", {3, 4, 6, 3}},
      {"/model_cfg/vision_cfg/pool_type", "avg"},
      {"/model_cfg/vision_cfg/no_ln_pre", true},
      {"/model_cfg/vision_cfg/attentional_pool", true},
      {"/model_cfg/vision_cfg/norm_kwargs", {{"eps", 1e-6}}},
      {"/model_cfg/vision_cfg/of_the_future", "on"},
      {"/model_cfg/vision_cfg/image_size", {224, 336}},
      {"/model_cfg/vision_cfg/head_width", 7},
      {"/model_cfg/vision_cfg/mlp_ratio", -1},
      {"/model_cfg/vision_cfg/patch_size", 225},
      {"/model_cfg/text_cfg/hf_model_name", "roberta-base"},
      {"/model_cfg/text_cfg/hf_tokenizer_name", "bert-base-uncased"},
      {"/model_cfg/text_cfg/pool_type", "last"},
      {"/model_cfg/text_cfg/heads", 7},
      {"/model_cfg/quick_gelu", "yes"},
      {"/model_cfg/text_cfg", 3},
      {"/preprocess_cfg/interpolation", "bilinear"},
      {"/preprocess_cfg/resize_mode", "longest"},
      {"/preprocess_cfg/mean", {0.5, 0.5}},
      {"/preprocess_cfg/size", 336},
      {"/model_cfg", nullptr},
  };
  for (const auto& [place, value] : cases) {
    std::string key(place + 1);
    std::replace(key.begin(), key.end(), '/', '.');
    EXPECT_THAT(refusal_of(place, value), HasSubstr("open_clip_config.json: " + key + " is "));
  }
}

TEST_F(OpenClip, ReadsATextTowerThatIsAPartOfItsOwn) {
  VITRINE_NEED_FIXTURES();
  convert("clip-small-gelu");
  config_["model_cfg"]["custom_text"] = true;
  config_["model_cfg"]["init_logit_bias"] = -10;
  write_config();
  Tensors apart = {{"logit_bias", {{}, {-9.5F}}}};
  for (const auto& [name, tensor] : weights_) {
    const bool of_text = !name.starts_with("visual.") && name != "logit_scale";
    apart[(of_text ? "text." : "") + name] = tensor;
  }
  write_safetensors(weights_path(), apart, DType::kF32);
  const auto encoder = load();
  EXPECT_EQ(encoder->logit_bias(), -9.5F);
  expect_small_golden(*encoder, "clip-small-gelu");
}

TEST_F(OpenClip, IgnoresWhatChangesNothing) {
  VITRINE_NEED_FIXTURES();
  convert("clip-small-gelu");
  auto& model = config_["model_cfg"];
  model["output_dict"] = true;
  model["custom_text"] = false;
  model["vision_cfg"]["timm_model_name"] = nullptr;
  model["vision_cfg"]["timm_pool"] = "avg";
  model["vision_cfg"]["pool_type"] = "tok";
  model["vision_cfg"]["patch_dropout"] = 0.5;
  model["vision_cfg"]["act_kwargs"] = nlohmann::json::object();
  model["vision_cfg"]["image_size"] = {224, 224};
  model["text_cfg"]["pad_id"] = 0;
  config_["preprocess_cfg"]["size"] = {224, 224};
  config_["preprocess_cfg"]["mode"] = "RGB";
  write_config();
  weights_["attn_mask"] = {{77, 77}, std::vector<float>(77 * 77)};
  write_safetensors(weights_path(), weights_, DType::kF32);
  EXPECT_EQ(load()->dimension(), 48);
}

TEST_F(OpenClip, ListsEveryDifferenceInItsOwnNames) {
  VITRINE_NEED_FIXTURES();
  convert("clip-small-gelu");
  weights_.erase("visual.proj");
  weights_["visual.attnpool.weight"] = {{1}, {0}};
  weights_["transformer.resblocks.0.attn.in_proj_bias"] = {{40}, std::vector<float>(40)};
  write_safetensors(weights_path(), weights_, DType::kF32);
  const Error error = refusal();
  EXPECT_EQ(error.code(), ErrorCode::kCorruption);
  EXPECT_THAT(error.what(), HasSubstr("does not match open_clip_config.json in 3 places"));
  EXPECT_THAT(error.what(), HasSubstr("missing: visual.proj [72, 48]"));
  EXPECT_THAT(error.what(), HasSubstr("unexpected: visual.attnpool.weight [1]"));
  EXPECT_THAT(error.what(), HasSubstr("shape: transformer.resblocks.0.attn.in_proj_bias is [40], "
                                      "open_clip_config.json needs [120]"));
}

TEST_F(OpenClip, PreprocessesAsTorchvisionDoes) {
  VITRINE_NEED_FIXTURES();
  convert("clip-small-gelu");
  // Each column has its own value; nothing is resized, and the crop drops 3 columns.
  Image image{224, 227, std::vector<std::uint8_t>(224 * 227 * 3)};
  for (std::size_t i = 0; i < image.rgb.size(); ++i) {
    image.rgb[i] = static_cast<std::uint8_t>(i / 3 % 227);
  }
  EXPECT_EQ(load()->prepare(image).rgb.front(), 2) << "round(1.5) is 2";
  image = {224, 225, std::vector<std::uint8_t>(224 * 225 * 3)};
  for (std::size_t i = 0; i < image.rgb.size(); ++i) {
    image.rgb[i] = static_cast<std::uint8_t>(i / 3 % 225);
  }
  EXPECT_EQ(load()->prepare(image).rgb.front(), 0) << "round(0.5) is 0";
  config_["preprocess_cfg"]["resize_mode"] = "squash";
  write_config();
  const Image squashed = load()->prepare(image);
  EXPECT_EQ(squashed.width, 224);
  EXPECT_GE(squashed.rgb.back(), 223) << "nothing is cropped";
}

}  // namespace
}  // namespace vitrine::encoder
