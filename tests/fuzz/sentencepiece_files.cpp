// The files of a SentencePiece tokenizer, and texts through what they make. The input is what
// split_files() takes.

#include "encoder/sentencepiece_tokenizer.h"
#include "tests/fuzz/target.h"

namespace vitrine::fuzz {

void run(std::string_view input) {
  write_files(scratch_folder(), encoder::kSentencePieceFiles, input);
  refusable([&] {
    const auto tokenizer = encoder::SentencePieceTokenizer::load(scratch_folder());
    constexpr int length = 16;
    for (const char* text : {"", "A red  dress_\xc2\xbd \xc3\x89t\xc3\xa9",
                             "aAbcde</s>e<unk>\xe6\xbc\xa2 \xef\xbf\xbd"}) {
      const auto ids = tokenizer.encode(text, length);
      require(!ids.empty() && ids.size() <= length, "a text is longer than allowed");
      require(ids.back() == tokenizer.pad_id(), "a text does not end with the end token");
      for (const std::int32_t id : ids) {
        require(id >= 0 && id < tokenizer.vocab_size(), "an id is not in the vocabulary");
      }
    }
  });
}

}  // namespace vitrine::fuzz
