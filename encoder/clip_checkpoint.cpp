#include "encoder/clip_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/sha256.h"

namespace vitrine::encoder {

std::future<std::string> start_fingerprint(std::vector<std::filesystem::path> files) {
  std::sort(files.begin(), files.end());
  return std::async(std::launch::async, [files = std::move(files)] {
    Sha256 hash;
    for (const std::filesystem::path& file : files) {
      if (!std::filesystem::exists(file)) continue;
      hash.update(fmt::format("{} {}\n", file.filename().string(), to_hex(sha256_file(file))));
    }
    return to_hex(hash.finish());
  });
}

void check_tokenizer(const Tokenizer& tokenizer, const TextConfig& config,
                     const std::filesystem::path& config_path) {
  const std::string file = config_path.string();
  if (tokenizer.vocab_size() > config.vocab_size) {
    throw invalid_argument(fmt::format("{}: vocab_size is {}, the tokenizer has ids up to {}", file,
                                       config.vocab_size, tokenizer.vocab_size() - 1));
  }
  if (config.context_length < 2) {
    throw invalid_argument(fmt::format("{}: the context length is {}; start and end token need 2",
                                       file, config.context_length));
  }
  // Otherwise every text would be read at its first position, which is the same for all.
  if (config.eos_token_id != kEosIsLargestId && config.eos_token_id != tokenizer.end_id()) {
    throw invalid_argument(fmt::format("{}: eos_token_id is {}, the tokenizer's end token is {}",
                                       file, config.eos_token_id, tokenizer.end_id()));
  }
}

}  // namespace vitrine::encoder
