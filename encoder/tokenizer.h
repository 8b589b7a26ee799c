#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace vitrine::encoder {

/// The files of a checkpoint folder that Tokenizer::load() may read.
inline constexpr const char* kTokenizerFiles[] = {"vocab.json", "merges.txt", "tokenizer.json",
                                                  "tokenizer_config.json"};

/// CLIP's byte-level BPE, token for token as Hugging Face's CLIPTokenizerFast: special tokens, NFC,
/// white space, lower case, the split pattern, merges with "</w>". Immutable; safe to use from many
/// threads.
class Tokenizer {
 public:
  /// Reads vocab.json and merges.txt of a checkpoint folder, or tokenizer.json where one of them is
  /// missing, and the special tokens of tokenizer.json and tokenizer_config.json where these exist.
  /// Throws NotFound when a file is missing, Corruption when one is damaged, ResourceExhausted when
  /// one has more than 16 MiB, and InvalidArgument when the tokenizer that tokenizer.json describes
  /// works in another way than CLIP's; the message names the file.
  static Tokenizer load(const std::filesystem::path& checkpoint_folder);

  /// Ids of the text: start token, at most max_length - 2 tokens, end token; not padded.
  /// text: UTF-8. max_length: at least 2. truncated, when given, tells whether tokens were cut.
  /// Throws InvalidArgument when the text is not UTF-8 or max_length is below 2.
  std::vector<std::int32_t> encode(std::string_view text, int max_length,
                                   bool* truncated = nullptr) const;

  std::int32_t start_id() const { return start_id_; }
  std::int32_t end_id() const { return end_id_; }
  /// One more than the largest id.
  int vocab_size() const { return vocab_size_; }

 private:
  /// A token that is found in the text before it is split into words.
  struct AddedToken {
    std::string content;
    std::int32_t id = 0;
    bool normalized = false;  ///< looked for after normalisation instead of before
  };
  struct Merge {
    std::int32_t rank = 0;
    std::int32_t id = 0;
  };
  class Output;
  class Loader;

  Tokenizer() = default;
  void encode_raw(std::string_view piece, Output& output) const;
  void encode_normalized(std::string_view piece, Output& output) const;
  void encode_word(std::string_view word, Output& output) const;

  std::unordered_map<std::uint64_t, Merge> merges_;  // key: left id << 32 | right id
  std::vector<std::int32_t> byte_ids_;               // [256]; -1: not in the vocabulary
  std::vector<std::int32_t> last_byte_ids_;          // [256]; the same with "</w>"
  std::vector<AddedToken> raw_tokens_;
  std::vector<AddedToken> normalized_tokens_;
  std::int32_t start_id_ = 0;
  std::int32_t end_id_ = 0;
  std::int32_t unknown_id_ = 0;
  int vocab_size_ = 0;
};

}  // namespace vitrine::encoder
