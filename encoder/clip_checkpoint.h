#pragma once

#include <filesystem>
#include <future>
#include <string>
#include <string_view>
#include <vector>

#include "encoder/checkpoint_weights.h"
#include "encoder/clip_config.h"
#include "encoder/image_processor.h"
#include "encoder/tokenizer.h"

namespace vitrine::encoder {

/// Everything that a CLIP checkpoint says, whatever its format; what a ClipEncoder is made from.
/// The parts agree with each other and with the weights. A reader of a format is a function that
/// returns one: see architectures.cpp.
struct ClipCheckpoint {
  std::string format;  ///< such as "transformers"
  ClipConfig config;
  Tokenizer tokenizer;
  ImageProcessor processor;
  CheckpointWeights weights;
  /// 64 hexadecimal digits, of all the files that the embeddings depend on. Hashing the weights
  /// takes as long as reading them, so it runs beside; get() waits for it, and throws when a file
  /// could not be read.
  std::future<std::string> fingerprint;
};

/// Starts, on a thread of its own, SHA-256 over the name and the SHA-256 of each file, in the order
/// of the names. A file that does not exist is left out.
std::future<std::string> start_fingerprint(std::vector<std::filesystem::path> files);

/// Throws InvalidArgument when the tokenizer makes ids that the config, read from config_path, has
/// no embeddings for.
void check_tokenizer(const Tokenizer& tokenizer, const TextConfig& config,
                     const std::filesystem::path& config_path);

}  // namespace vitrine::encoder
