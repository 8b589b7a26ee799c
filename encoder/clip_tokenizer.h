#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "encoder/tokenizer.h"

namespace vitrine::encoder {

/// The files of a checkpoint folder that ClipTokenizer::load() may read.
inline constexpr const char* kClipTokenizerFiles[] = {"vocab.json", "merges.txt", "tokenizer.json",
                                                      "tokenizer_config.json", "added_tokens.json"};

/// What is done to a text before CLIP's tokenizer does what it does for all.
enum class ClipCleaning {
  kNone,      ///< as in transformers
  kOpenClip,  ///< repaired(), and lower case of the whole text, in which a final sigma is another
};

/// CLIP's byte-level BPE, token for token as Hugging Face's CLIPTokenizerFast: special tokens, NFC,
/// white space, lower case, the split pattern, merges with "</w>".
class ClipTokenizer : public Tokenizer {
 public:
  /// Reads vocab.json and merges.txt of a checkpoint folder, or tokenizer.json where one of them is
  /// missing, and the special and added tokens of tokenizer.json, tokenizer_config.json and
  /// added_tokens.json where these exist.
  /// Throws NotFound when a file is missing, Corruption when one is damaged, ResourceExhausted when
  /// one has more than 16 MiB, and InvalidArgument when the tokenizer that tokenizer.json describes
  /// works in another way than CLIP's; the message names the file.
  static ClipTokenizer load(const std::filesystem::path& checkpoint_folder,
                            ClipCleaning cleaning = ClipCleaning::kNone);

  /// Start token, at most max_length - 2 tokens of the text, end token. max_length: at least 2.
  std::vector<std::int32_t> encode(std::string_view text, int max_length,
                                   bool* truncated = nullptr) const override;

  std::int32_t start_id() const { return start_id_; }
  std::int32_t end_id() const { return end_id_; }
  int vocab_size() const override { return vocab_size_; }

 private:
  /// A token that is found in the text before it is split into words.
  struct AddedToken {
    std::string content;
    std::int32_t id = 0;
    bool single_word = false;  ///< not as a part of a longer word
  };
  struct Merge {
    std::int32_t rank = 0;
    std::int32_t id = 0;
  };
  class Output;
  class Loader;

  ClipTokenizer() = default;
  void encode_cleaned(std::string_view text, Output& output) const;
  void encode_raw(std::string_view piece, Output& output) const;
  void encode_normalized(std::string_view piece, Output& output) const;
  void encode_word(std::string_view word, Output& output) const;

  std::unordered_map<std::uint64_t, Merge> merges_;  // key: left id << 32 | right id
  std::vector<std::int32_t> byte_ids_;               // [256]; -1: not in the vocabulary
  std::vector<std::int32_t> last_byte_ids_;          // [256]; the same with "</w>"
  std::vector<AddedToken> raw_tokens_;
  std::vector<AddedToken> normalized_tokens_;
  ClipCleaning cleaning_ = ClipCleaning::kNone;
  std::int32_t start_id_ = 0;
  std::int32_t end_id_ = 0;
  std::int32_t unknown_id_ = 0;
  int vocab_size_ = 0;
};

}  // namespace vitrine::encoder
