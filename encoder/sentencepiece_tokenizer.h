#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "encoder/tokenizer.h"

namespace vitrine::encoder {

/// The files of a checkpoint folder that SentencePieceTokenizer::load() may read.
inline constexpr const char* kSentencePieceFiles[] = {"spiece.model", "tokenizer.json",
                                                      "tokenizer_config.json"};

/// What is made of a text before it is cut into pieces. Both remove ASCII punctuation, lower-case,
/// and leave single spaces where white space was; they differ as the two programs do that SigLIP
/// checkpoints are made for.
enum class TextCleaning {
  /// Hugging Face's SiglipTokenizer, as transformers 4 has it: "_" goes like other punctuation;
  /// characters are lower-cased one by one, so that a final sigma is "σ"; "</s>" and "<unk>" in a
  /// text, in any case, are those tokens; do_lower_case of tokenizer_config.json counts.
  kSiglip,
  /// open_clip's clean="canonicalize" before a T5TokenizerFast: the text is repaired(); "_" is
  /// white space; a final sigma is "ς"; a text contains no tokens; always lower-cased. One thing
  /// that these do is not done: where a normalisation rule is for several characters together the
  /// fast tokenizer may take the one for the first, while here, as in SentencePiece itself, the
  /// longest wins.
  kOpenClip,
};

/// The SentencePiece tokenizer of SigLIP checkpoints.
class SentencePieceTokenizer : public Tokenizer {
 public:
  /// Reads spiece.model or tokenizer.json of a checkpoint folder, where both are there the one that
  /// the program reads whose cleaning it is: kSiglip the first, kOpenClip the second. They differ
  /// in what becomes of a character that the vocabulary lacks: its bytes, or "<unk>". And
  /// "do_lower_case" of tokenizer_config.json where that exists, whose "pad_token" and "eos_token"
  /// must be "</s>".
  /// Throws NotFound when there is neither, Corruption when a file is damaged, ResourceExhausted
  /// when one is larger than any vocabulary, and InvalidArgument when its tokenizer works in
  /// another way; the message names the file.
  static SentencePieceTokenizer load(const std::filesystem::path& checkpoint_folder,
                                     TextCleaning cleaning = TextCleaning::kSiglip);

  ~SentencePieceTokenizer() override;
  SentencePieceTokenizer(SentencePieceTokenizer&& other) noexcept;
  SentencePieceTokenizer& operator=(SentencePieceTokenizer&& other) noexcept;

  /// Ids of the text: at most max_length - 1 pieces, "</s>"; not padded. As in the references a
  /// text that ends with the token "</s>" gets no second one.
  /// text: UTF-8. Of a text that is longer than any caption only so much is read as max_length
  /// pieces have room for, 64 KiB and 64 bytes a piece.
  /// max_length: at least 1. truncated, when given, tells whether something was cut.
  /// Throws InvalidArgument when the text is not UTF-8 or max_length is below 1.
  std::vector<std::int32_t> encode(std::string_view text, int max_length,
                                   bool* truncated = nullptr) const override;

  /// What SigLIP fills a text up with: the id of "</s>".
  std::int32_t pad_id() const;
  int vocab_size() const override;

 private:
  class Impl;
  explicit SentencePieceTokenizer(std::unique_ptr<const Impl> impl);

  std::unique_ptr<const Impl> impl_;
};

}  // namespace vitrine::encoder
