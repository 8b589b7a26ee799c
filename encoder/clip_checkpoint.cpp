#include "encoder/clip_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/sha256.h"
#include "encoder/sentencepiece_tokenizer.h"

namespace vitrine::encoder {
namespace {

void check_tokenizer(const Tokenizer& tokenizer, const TextConfig& config, int tokens_of_every_text,
                     const std::filesystem::path& config_path) {
  const std::string file = config_path.string();
  if (tokenizer.vocab_size() > config.vocab_size) {
    throw invalid_argument(fmt::format("{}: vocab_size is {}, the tokenizer has ids up to {}", file,
                                       config.vocab_size, tokenizer.vocab_size() - 1));
  }
  if (config.context_length < tokens_of_every_text) {
    throw invalid_argument(
        fmt::format("{}: the context length is {}; the tokens that every text has need {}", file,
                    config.context_length, tokens_of_every_text));
  }
}

}  // namespace

std::future<std::string> start_fingerprint(const WeightFiles& weights,
                                           const std::filesystem::path& folder,
                                           std::span<const char* const> config_files,
                                           std::span<const char* const> tokenizer_files,
                                           std::string_view also) {
  std::vector<std::filesystem::path> files = weights.paths();
  for (const char* name : config_files) files.push_back(folder / name);
  for (const char* name : tokenizer_files) files.push_back(folder / name);
  std::sort(files.begin(), files.end());
  return std::async(std::launch::async, [files = std::move(files), also = std::string(also)] {
    Sha256 hash;
    for (const std::filesystem::path& file : files) {
      if (!std::filesystem::exists(file)) continue;
      hash.update(fmt::format("{} {}\n", file.filename().string(), to_hex(sha256_file(file))));
    }
    hash.update(also);
    return to_hex(hash.finish());
  });
}

std::unique_ptr<const Tokenizer> load_clip_tokenizer(const std::filesystem::path& folder,
                                                     ClipCleaning cleaning, TextConfig& config,
                                                     const std::filesystem::path& config_path) {
  auto tokenizer = std::make_unique<const ClipTokenizer>(ClipTokenizer::load(folder, cleaning));
  check_tokenizer(*tokenizer, config, 2, config_path);
  // Otherwise every text would be read at its first position, which is the same for all.
  if (config.eos_token_id != kEosIsLargestId && config.eos_token_id != tokenizer->end_id()) {
    throw invalid_argument(fmt::format("{}: eos_token_id is {}, the tokenizer's end token is {}",
                                       config_path.string(), config.eos_token_id,
                                       tokenizer->end_id()));
  }
  config.start_token_id = tokenizer->start_id();
  return tokenizer;
}

std::unique_ptr<const Tokenizer> load_siglip_tokenizer(const std::filesystem::path& folder,
                                                       TextCleaning cleaning, TextConfig& config,
                                                       const std::filesystem::path& config_path) {
  auto tokenizer = std::make_unique<const SentencePieceTokenizer>(
      SentencePieceTokenizer::load(folder, cleaning));
  check_tokenizer(*tokenizer, config, 1, config_path);
  config.pad_token_id = tokenizer->pad_id();
  return tokenizer;
}

}  // namespace vitrine::encoder
