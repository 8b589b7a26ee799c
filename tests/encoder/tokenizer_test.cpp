#include "encoder/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "tests/encoder/fixtures.h"

namespace vitrine::encoder {
namespace {

constexpr int kContextLength = 77;

using Ids = std::vector<std::int32_t>;

/// CLIP's vocabulary; only vocab.json and merges.txt, so that the defaults for special tokens
/// count.
Tokenizer load_clip(const TemporaryDirectory& folder) {
  for (const char* name : {"vocab.json", "merges.txt"}) {
    std::filesystem::create_symlink(std::filesystem::absolute(fixtures() / "clip-bpe" / name),
                                    folder.path() / name);
  }
  return Tokenizer::load(folder.path());
}

/// Calls check(text, line) for every line; the texts are compared as they are, not normalised.
template <typename Check>
std::size_t for_each_line(const char* name, Check check) {
  std::ifstream stream(fixtures() / name);
  std::size_t lines = 0;
  for (std::string line; std::getline(stream, line);) {
    if (line.empty()) continue;
    check(nlohmann::json::parse(line));
    ++lines;
  }
  return lines;
}

TEST(Tokenizer, AgreesWithEveryGoldenLine) {
  VITRINE_NEED_FIXTURES();
  const TemporaryDirectory folder;
  for (const Tokenizer& tokenizer : {load_clip(folder), Tokenizer::load(fixtures() / "clip-bpe")}) {
    const std::size_t lines = for_each_line("tokenizer_golden.jsonl", [&](const auto& line) {
      EXPECT_EQ(tokenizer.encode(line["text"].template get<std::string>(), kContextLength),
                line["ids"].template get<Ids>())
          << line["tag"] << ' ' << line["text"];
    });
    EXPECT_EQ(lines, 582U);
  }
}

TEST(Tokenizer, AgreesWithEveryPaddedGoldenLine) {
  VITRINE_NEED_FIXTURES();
  const TemporaryDirectory folder;
  const Tokenizer tokenizer = load_clip(folder);
  const std::size_t lines = for_each_line("tokenizer_padded_golden.jsonl", [&](const auto& line) {
    Ids ids = tokenizer.encode(line["text"].template get<std::string>(), kContextLength);
    Ids mask(ids.size(), 1);
    ids.resize(kContextLength, tokenizer.end_id());
    mask.resize(kContextLength, 0);
    EXPECT_EQ(ids, line["input_ids"].template get<Ids>()) << line["text"];
    EXPECT_EQ(mask, line["attention_mask"].template get<Ids>()) << line["text"];
  });
  EXPECT_GT(lines, 0U);
}

TEST(Tokenizer, FollowsTheFlagsOfAddedTokens) {
  VITRINE_NEED_FIXTURES();
  const TemporaryDirectory folder;
  load_clip(folder);
  std::ofstream(folder.path() / "tokenizer_config.json") << R"({"added_tokens_decoder": {
    "49406": {"content": "<|startoftext|>", "normalized": false},
    "49407": {"content": "<|endoftext|>", "normalized": true}}})";
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  std::size_t alternatives = 0;
  for_each_line("tokenizer_golden.jsonl", [&](const auto& line) {
    if (!line.contains("alt_ids")) return;
    ++alternatives;
    EXPECT_EQ(tokenizer.encode(line["text"].template get<std::string>(), kContextLength),
              line["alt_ids"].template get<Ids>())
        << line["text"];
  });
  EXPECT_EQ(alternatives, 4U);
}

TEST(Tokenizer, TruncatesAndSaysSo) {
  VITRINE_NEED_FIXTURES();
  const TemporaryDirectory folder;
  const Tokenizer tokenizer = load_clip(folder);
  bool truncated = true;
  EXPECT_EQ(tokenizer.encode("a photo", 4, &truncated), (Ids{49406, 320, 1125, 49407}));
  EXPECT_FALSE(truncated);
  EXPECT_EQ(tokenizer.encode("a photo", 3, &truncated), (Ids{49406, 320, 49407}));
  EXPECT_TRUE(truncated);
  EXPECT_EQ(tokenizer.encode("", 2, &truncated), (Ids{49406, 49407}));
  EXPECT_FALSE(truncated);
  EXPECT_THROW(tokenizer.encode("a", 1), Error);
  EXPECT_EQ(tokenizer.encode(std::string(1 << 20, 'a'), kContextLength, &truncated).size(), 77U);
  EXPECT_TRUE(truncated);
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  VITRINE_NEED_FIXTURES();
  const TemporaryDirectory folder;
  const Tokenizer tokenizer = load_clip(folder);
  for (const char* text : {"a\xff", "\xc0\xaf", "\xed\xa0\x80", "abc\xe2\x82"}) {
    EXPECT_THROW(tokenizer.encode(text, kContextLength), Error);
  }
}

class SmallVocabulary : public testing::Test {
 protected:
  void write(const char* name, const std::string& text) const {
    std::ofstream(folder_.path() / name) << text;
  }
  std::string load_error() const {
    try {
      Tokenizer::load(folder_.path());
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  TemporaryDirectory folder_;
};

TEST_F(SmallVocabulary, MergesByRankFromTheLeft) {
  write("vocab.json", R"({"a": 0, "b": 1, "a</w>": 2, "b</w>": 3, "ab": 4, "aba</w>": 5,
                          "<|startoftext|>": 6, "<|endoftext|>": 7})");
  write("merges.txt", "#version: 0.2\na b\nab a</w>\n");
  const Tokenizer tokenizer = Tokenizer::load(folder_.path());
  EXPECT_EQ(tokenizer.encode("ABA ab b x", 20), (Ids{6, 5, 0, 3, 3, 7, 7}))
      << "a byte that is not in the vocabulary is the unknown token";
  EXPECT_EQ(tokenizer.vocab_size(), 8);
}

TEST_F(SmallVocabulary, NamesTheDamagedFile) {
  EXPECT_THAT(load_error(), testing::HasSubstr("vocab.json"));
  write("vocab.json", "{\"a\": ");
  EXPECT_THAT(load_error(), testing::HasSubstr("vocab.json is not JSON"));
  write("vocab.json", "{\"a\": -1}");
  EXPECT_THAT(load_error(), testing::HasSubstr("the id of \"a\""));
  write("vocab.json", "{\"a\": 0, \"b\": 1}");
  EXPECT_THAT(load_error(), testing::HasSubstr("merges.txt"));
  write("merges.txt", "a\n");
  EXPECT_THAT(load_error(), testing::HasSubstr("merges.txt: merge 1 is not two tokens"));
  write("merges.txt", "a b\n");
  EXPECT_THAT(load_error(), testing::HasSubstr("needs \"ab\""));
  write("merges.txt", "");
  EXPECT_THAT(load_error(), testing::HasSubstr("no special token"));
}

}  // namespace
}  // namespace vitrine::encoder
