// Any bytes as a text, through the tokenizer of the checkpoint that comes with the program. The
// first byte chooses the context length.

#include "base/text.h"
#include "encoder/clip_tokenizer.h"
#include "tests/fuzz/target.h"

namespace vitrine::fuzz {

void run(std::string_view input) {
  static const auto tokenizer =
      encoder::ClipTokenizer::load(VITRINE_SOURCE_DIR "/models/fashion-mini");
  if (input.empty()) return;
  const int length = 2 + static_cast<unsigned char>(input.front()) % 76;
  const std::string_view text = input.substr(1);
  bool accepted = false;
  refusable([&] {
    bool truncated = false;
    const auto ids = tokenizer.encode(text, length, &truncated);
    accepted = true;
    require(ids.size() >= 2 && ids.size() <= static_cast<std::size_t>(length),
            "a text is longer than its context");
    require(ids.front() == tokenizer.start_id(), "a text does not begin with the start token");
    require(ids.back() == tokenizer.end_id(), "a text does not end with the end token");
    require(!truncated || ids.size() == static_cast<std::size_t>(length),
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
