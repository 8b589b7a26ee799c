#pragma once

#include <filesystem>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "encoder/checkpoint_weights.h"
#include "encoder/clip_config.h"
#include "encoder/clip_tokenizer.h"
#include "encoder/image_processor.h"
#include "encoder/sentencepiece_tokenizer.h"
#include "encoder/tokenizer.h"
#include "encoder/weight_files.h"

namespace vitrine::encoder {

/// Everything that a checkpoint of CLIP or of a model like it says, whatever its format; what a
/// ClipEncoder is made from. The parts agree with each other and with the weights. A reader of a
/// format is a function that returns one: see architectures.cpp.
struct ClipCheckpoint {
  std::string architecture;  ///< such as "clip"
  std::string format;        ///< such as "transformers"
  ClipConfig config;
  std::unique_ptr<const Tokenizer> tokenizer;
  ImageProcessor processor;
  CheckpointWeights weights;
  /// 64 hexadecimal digits, of all the files that the embeddings depend on. Hashing the weights
  /// takes as long as reading them, so it runs beside; get() waits for it, and throws when a file
  /// could not be read.
  std::future<std::string> fingerprint;
};

/// Starts, on a thread of its own, SHA-256 over the name and the SHA-256 of each file, in the order
/// of the names: of the weights and of those of the folder's that exist; then over what else the
/// embeddings depend on, if anything.
std::future<std::string> start_fingerprint(const WeightFiles& weights,
                                           const std::filesystem::path& folder,
                                           std::span<const char* const> config_files,
                                           std::span<const char* const> tokenizer_files,
                                           std::string_view also = {});

/// Reads CLIP's tokenizer and completes the config, read from config_path, with its start token.
/// Throws as the tokenizer does, and InvalidArgument when it makes ids that the config has no
/// embeddings for, when the context has no room for what every text has, or when they differ in
/// what ends a text. cleaning: of the program that the checkpoint is for.
std::unique_ptr<const Tokenizer> load_clip_tokenizer(const std::filesystem::path& folder,
                                                     ClipCleaning cleaning, TextConfig& config,
                                                     const std::filesystem::path& config_path);

/// The same of SigLIP's, with its pad token.
std::unique_ptr<const Tokenizer> load_siglip_tokenizer(const std::filesystem::path& folder,
                                                       TextCleaning cleaning, TextConfig& config,
                                                       const std::filesystem::path& config_path);

}  // namespace vitrine::encoder
