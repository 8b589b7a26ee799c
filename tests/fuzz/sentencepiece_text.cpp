// Any bytes as a text, through a small SigLIP tokenizer. The first byte chooses how texts are
// cleaned (bit 7) and the context length (the others).

#include "base/text.h"
#include "encoder/sentencepiece_tokenizer.h"
#include "tests/fuzz/target.h"

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
  const std::string_view text = input.substr(1);
  bool accepted = false;
  refusable([&] {
    bool truncated = false;
    const auto ids = tokenizer.encode(text, length, &truncated);
    accepted = true;
    require(!ids.empty() && ids.size() <= static_cast<std::size_t>(length),
            "a text is longer than its context");
    require(ids.back() == tokenizer.pad_id(), "a text does not end with the end token");
    // Cut behind an end token of its own, a text needs no other.
    require(!truncated || ids.size() + 1 >= static_cast<std::size_t>(length),
            "a text was cut that had room");
    for (const std::int32_t id : ids) {
      require(id >= 0 && id < tokenizer.vocab_size(), "an id is not in the vocabulary");
    }
    // What fits keeps its ids in any longer context.
    if (!truncated) {
      require(tokenizer.encode(text, length + 1) == ids, "ids depend on room that is not needed");
    }
  });
  require(accepted != find_invalid_utf8(text).has_value(), "UTF-8 and nothing else is a text");
}

}  // namespace vitrine::fuzz
