// Any bytes as a text, through a small SigLIP tokenizer. The first byte chooses how texts are
// cleaned (bit 7) and the context length (the others).

#include "encoder/sentencepiece_tokenizer.h"
#include "tests/fuzz/tokenized_text.h"

namespace vitrine::fuzz {

void run(std::string_view input) {
  using encoder::SentencePieceTokenizer;
  using encoder::TextCleaning;
  constexpr const char* folder = VITRINE_SOURCE_DIR "/tests/encoder/fixtures/siglip_tokenizer";
  static const SentencePieceTokenizer tokenizers[] = {
      SentencePieceTokenizer::load(folder, TextCleaning::kSiglip),
      SentencePieceTokenizer::load(folder, TextCleaning::kOpenClip)};
  if (input.empty()) return;
  const auto first = static_cast<unsigned char>(input.front());
  const SentencePieceTokenizer& tokenizer = tokenizers[first >> 7];
  const int length = 1 + first % 128;
  check_text(tokenizer, input.substr(1), length, [&](const auto& ids, bool truncated) {
    require(ids.back() == tokenizer.pad_id(), "a text does not end with the end token");
    // Cut behind an end token of its own, a text needs no other.
    require(!truncated || ids.size() + 1 >= static_cast<std::size_t>(length),
            "a text was cut that had room");
  });
}

}  // namespace vitrine::fuzz
