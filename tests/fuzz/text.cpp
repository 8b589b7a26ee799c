// Any bytes as a text, through the tokenizer of the checkpoint that comes with the program. The
// first byte chooses the context length.

#include "encoder/clip_tokenizer.h"
#include "tests/fuzz/tokenized_text.h"

namespace vitrine::fuzz {

void run(std::string_view input) {
  static const auto tokenizer =
      encoder::ClipTokenizer::load(VITRINE_SOURCE_DIR "/models/fashion-mini");
  if (input.empty()) return;
  const int length = 2 + static_cast<unsigned char>(input.front()) % 76;
  check_text(tokenizer, input.substr(1), length, [&](const auto& ids, bool truncated) {
    require(ids.size() >= 2, "a text has no start or no end");
    require(ids.front() == tokenizer.start_id(), "a text does not begin with the start token");
    require(ids.back() == tokenizer.end_id(), "a text does not end with the end token");
    require(!truncated || ids.size() == static_cast<std::size_t>(length),
            "a text was cut that had room");
  });
}

}  // namespace vitrine::fuzz
