// The files of a tokenizer, and texts through what they make. The input is what split_files()
// takes.

#include "encoder/clip_tokenizer.h"
#include "tests/fuzz/target.h"

namespace vitrine::fuzz {

void run(std::string_view input) {
  write_files(scratch_folder(), encoder::kClipTokenizerFiles, input);
  refusable([&] {
    const auto tokenizer = encoder::ClipTokenizer::load(scratch_folder());
    constexpr int length = 16;
    for (const char* text : {"", "a red dress's  \xc3\x89t\xc3\xa9 No.5", "<|startoftext|>ab<x>"}) {
      const auto ids = tokenizer.encode(text, length);
      require(ids.size() >= 2 && ids.size() <= length, "a text is longer than allowed");
      for (const std::int32_t id : ids) {
        require(id >= 0 && id < tokenizer.vocab_size(), "an id is not in the vocabulary");
      }
    }
  });
}

}  // namespace vitrine::fuzz
