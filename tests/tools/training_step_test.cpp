#include "tools/training_step.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "encoder/clip_config.h"
#include "encoder/encoder.h"
#include "tools/adam_w.h"
#include "tools/bpe_learner.h"
#include "tools/checkpoint_writer.h"
#include "tools/fashion_mnist.h"

namespace vitrine::tools {
namespace {

/// Bars of light: photos enough to train on, without the data set.
TrainingPhotos synthetic_photos(int count) {
  std::vector<GarmentPhoto> photos(count);
  for (int i = 0; i < count; ++i) {
    photos[i].grey.fill(0);
    photos[i].garment = i % 10;
    for (int row = 4; row < 24; ++row) {
      for (int column = 6; column < 8 + 2 * (i % 10); ++column) {
        photos[i].grey[row * kPhotoSize + column] = static_cast<std::uint8_t>(120 + row * 4);
      }
    }
  }
  return prepare_photos(photos);
}

class TrainingStep : public ::testing::Test {
 protected:
  TrainingStep() : tokenizer_(learn(folder_.path())) {
    config_.projection_dim = 16;
    config_.text.tower = {32, 64, 1, 2};
    config_.text.vocab_size = tokenizer_.vocab_size();
    config_.text.context_length = 32;
    config_.text.eos_token_id = tokenizer_.end_id();
    config_.vision.tower = {32, 64, 1, 2};
    config_.vision.image_size = 56;
    config_.vision.patch_size = 14;
    at::manual_seed(3);
    for (const auto& [name, shape] : encoder::expected_weights(config_)) {
      at::Tensor weight = at::randn(shape) * 0.1;
      if (name == "logit_scale") weight.fill_(2.0);
      weights_[name] = weight.requires_grad_();
    }
  }

  TemporaryDirectory folder_;
  encoder::ClipTokenizer tokenizer_;
  encoder::ClipConfig config_;
  encoder::WeightMap weights_;

 private:
  static encoder::ClipTokenizer learn(const std::filesystem::path& folder) {
    learn_bpe(all_prompt_words(), 700).save(folder);
    return encoder::ClipTokenizer::load(folder);
  }
};

TEST_F(TrainingStep, EveryWordOfThePromptsIsOneToken) {
  EXPECT_EQ(tokenizer_.encode("a photo of a red striped dress", 32).size(), 9u);
  EXPECT_EQ(tokenizer_.encode("t-shirt", 32).size(), 5u);  // split at the hyphen, as CLIP does
  EXPECT_EQ(tokenizer_.encode("xyz", 32).size(), 5u);      // spelled
}

TEST_F(TrainingStep, WritesACheckpointThatLoadsAgain) {
  const TemporaryDirectory out;
  write_checkpoint(out.path(), config_, weights_, learn_bpe(all_prompt_words(), 700));
  const encoder::ClipConfig read = encoder::parse_clip_config(out.path() / "config.json");
  EXPECT_EQ(encoder::expected_weights(read), encoder::expected_weights(config_));
  EXPECT_EQ(read.text.eos_token_id, config_.text.eos_token_id);
  const auto loaded = encoder::load_encoder({.model = out.path().string(),
                                             .threads = 1,
                                             .precision = encoder::Precision::kFloat32,
                                             .device = encoder::Device::kCpu});
  EXPECT_EQ(loaded->dimension(), 16);
}

TEST_F(TrainingStep, TwoWorkersGiveTheMeanOfWhatEachGivesAlone) {
  const TrainingPhotos photos = synthetic_photos(64);
  const BatchOptions options{16, 12, 56, 0.5f};
  const Batches both{make_batch(photos, options, 1, 0), make_batch(photos, options, 1, 1)};
  const std::string name = "vision_model.encoder.layers.0.mlp.fc1.weight";

  std::vector<Worker> one(1, Worker(tokenizer_)), two(2, Worker(tokenizer_));
  const double first = step_gradients(config_, weights_, {both[0]}, one, {});
  const at::Tensor first_gradient = weights_.at(name).grad().clone();
  const double second = step_gradients(config_, weights_, {both[1]}, one, {});
  const at::Tensor second_gradient = weights_.at(name).grad().clone();
  const double mean = step_gradients(config_, weights_, both, two, {});

  EXPECT_NEAR(mean, (first + second) / 2, 1e-5);
  EXPECT_GT(first_gradient.abs().max().item<float>(), 0.0f);
  EXPECT_TRUE(
      at::allclose(weights_.at(name).grad(), (first_gradient + second_gradient) / 2, 1e-4, 1e-7));
}

TEST_F(TrainingStep, ReducesTheLoss) {
  const TrainingPhotos photos = synthetic_photos(64);
  const Batches batch{make_batch(photos, {32, 24, 56, 0.5f}, 1, 0)};
  std::vector<at::Tensor> parameters;
  for (const auto& [name, weight] : weights_) parameters.push_back(weight);
  for (const bool bfloat16 : {false, true}) {
    AdamW adam(parameters, 0.0);
    std::vector<Worker> workers(1, Worker(tokenizer_));
    const StepOptions options{56, bfloat16};
    const double before = step_gradients(config_, weights_, batch, workers, options);
    double after = before;
    for (int step = 0; step < 15; ++step) {
      adam.step(2e-3, 1.0);
      after = step_gradients(config_, weights_, batch, workers, options);
    }
    EXPECT_LT(after, before);
  }
}

}  // namespace
}  // namespace vitrine::tools
