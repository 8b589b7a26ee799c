// Any bytes as a text, through the tokenizer of the checkpoint that comes with the program. The
// first byte chooses how texts are cleaned (bit 7) and the context length.

#include "encoder/clip_tokenizer.h"
#include "tests/fuzz/tokenized_text.h"

namespace vitrine::fuzz {

void run(std::string_view input) {
  using encoder::ClipCleaning;
  using encoder::ClipTokenizer;
  constexpr const char* folder = VITRINE_SOURCE_DIR "/models/fashion-mini";
  static const ClipTokenizer tokenizers[] = {ClipTokenizer::load(folder, ClipCleaning::kNone),
                                             ClipTokenizer::load(folder, ClipCleaning::kOpenClip)};
  if (input.empty()) return;
  const auto first = static_cast<unsigned char>(input.front());
  const ClipTokenizer& tokenizer = tokenizers[first >> 7];
  const int length = 2 + first % 76;
  check_text(tokenizer, input.substr(1), length, [&](const auto& ids, bool truncated) {
    require(ids.size() >= 2, "a text has no start or no end");
    require(ids.front() == tokenizer.start_id(), "a text does not begin with the start token");
    require(ids.back() == tokenizer.end_id(), "a text does not end with the end token");
    require(!truncated || ids.size() == static_cast<std::size_t>(length),
            "a text was cut that had room");
  });
}

}  // namespace vitrine::fuzz
