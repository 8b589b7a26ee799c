// All files of a checkpoint folder, in either layout: loaded into an encoder, which then encodes.
// The input is what split_files() takes.

#include <cmath>

#include "encoder/encoder.h"
#include "tests/fuzz/target.h"

namespace vitrine::fuzz {
namespace {

constexpr const char* kFiles[] = {"config.json",
                                  "preprocessor_config.json",
                                  "processor_config.json",
                                  "open_clip_config.json",
                                  "vocab.json",
                                  "merges.txt",
                                  "tokenizer.json",
                                  "tokenizer_config.json",
                                  "added_tokens.json",
                                  "spiece.model",
                                  "golden.json",
                                  "model.safetensors",
                                  "model.safetensors.index.json",
                                  "model-1.safetensors",
                                  "open_clip_model.safetensors"};

}  // namespace

void run(std::string_view input) {
  write_files(scratch_folder(), kFiles, input);
  refusable([&] {
    encoder::EncoderOptions options;
    options.model = scratch_folder().string();
    options.threads = 1;
    options.precision = encoder::Precision::kFloat32;
    const auto encoder = encoder::load_encoder(options);
    const auto dimension = static_cast<std::size_t>(encoder->dimension());
    require(encoder->fingerprint().size() == 64, "a fingerprint has 64 digits");

    encoder::Image image{3, 5, {}};
    image.rgb.assign(3 * 5 * 3, 100);
    const Matrix images = encoder->encode_images({&image, 1});
    require(images.rows() == 1 && images.cols() == dimension, "an image has another dimension");
    const std::string text = "a red dress";
    const Matrix texts = encoder->encode_texts({&text, 1});
    require(texts.rows() == 1 && texts.cols() == dimension, "a text has another dimension");
  });
}

}  // namespace vitrine::fuzz
