#include "encoder/clip_tokenizer.h"

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
ClipTokenizer load_clip(const TemporaryDirectory& folder) {
  for (const char* name : {"vocab.json", "merges.txt"}) {
    std::filesystem::create_symlink(std::filesystem::absolute(fixtures() / "clip-bpe" / name),
                                    folder.path() / name);
  }
  return ClipTokenizer::load(folder.path());
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

TEST(ClipTokenizer, AgreesWithEveryGoldenLine) {
  VITRINE_NEED_FIXTURES();
  const TemporaryDirectory folder;
  for (const ClipTokenizer& tokenizer :
       {load_clip(folder), ClipTokenizer::load(fixtures() / "clip-bpe")}) {
    const std::size_t lines = for_each_line("tokenizer_golden.jsonl", [&](const auto& line) {
      EXPECT_EQ(tokenizer.encode(line["text"].template get<std::string>(), kContextLength),
                line["ids"].template get<Ids>())
          << line["tag"] << ' ' << line["text"];
    });
    EXPECT_EQ(lines, 582U);
  }
}

/// A folder that has only this tokenizer.json.
ClipTokenizer load_description(const nlohmann::json& description) {
  const TemporaryDirectory folder;
  write_file_atomically(folder.path() / "tokenizer.json", description.dump());
  return ClipTokenizer::load(folder.path());
}

TEST(ClipTokenizer, IsTheSameFromTokenizerJson) {
  VITRINE_NEED_FIXTURES();
  const nlohmann::json strings = read_json(fixtures() / "clip-bpe/tokenizer.json");
  nlohmann::json pairs = strings;  // as newer versions write it
  for (nlohmann::json& merge : pairs["model"]["merges"]) {
    const auto text = merge.get<std::string>();
    const std::size_t space = text.find(' ');
    merge = {text.substr(0, space), text.substr(space + 1)};
  }
  pairs["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] =
      R"('s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";
  for (const nlohmann::json& description : {strings, pairs}) {
    const ClipTokenizer tokenizer = load_description(description);
    EXPECT_EQ(tokenizer.vocab_size(), 49408);
    const std::size_t lines = for_each_line("tokenizer_golden.jsonl", [&](const auto& line) {
      EXPECT_EQ(tokenizer.encode(line["text"].template get<std::string>(), kContextLength),
                line["ids"].template get<Ids>())
          << line["tag"] << ' ' << line["text"];
    });
    EXPECT_EQ(lines, 582U);
  }
}

TEST(ClipTokenizer, TakesAddedTokensThatTheVocabularyLacks) {
  VITRINE_NEED_FIXTURES();
  nlohmann::json description = read_json(fixtures() / "clip-bpe/tokenizer.json");
  for (const char* token : {"<|startoftext|>", "<|endoftext|>"}) {
    description["model"]["vocab"].erase(token);
  }
  const ClipTokenizer tokenizer = load_description(description);
  EXPECT_EQ(tokenizer.encode("a photo", kContextLength), (Ids{49406, 320, 1125, 49407}));
}

TEST(ClipTokenizer, RefusesATokenizerJsonThatWorksInAnotherWay) {
  VITRINE_NEED_FIXTURES();
  const nlohmann::json clip = read_json(fixtures() / "clip-bpe/tokenizer.json");
  const auto refusal = [&](const char* place, const nlohmann::json& value, ErrorCode code) {
    nlohmann::json description = clip;
    description[nlohmann::json::json_pointer(place)] = value;
    try {
      load_description(description);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << place;
      EXPECT_THAT(error.what(), testing::HasSubstr("tokenizer.json: "));
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  const std::pair<const char*, nlohmann::json> differences[] = {
      {"/normalizer", nullptr},
      {"/normalizer/normalizers/0/type", "NFKC"},
      {"/normalizer/normalizers/3", {{"type", "StripAccents"}}},
      {"/pre_tokenizer/pretokenizers/0/pattern/Regex", "\\w+"},
      {"/pre_tokenizer/pretokenizers/0/invert", false},
      {"/pre_tokenizer/pretokenizers/1/add_prefix_space", true},
      {"/pre_tokenizer/pretokenizers/1/use_regex", false},
      {"/pre_tokenizer/pretokenizers/2", {{"type", "Digits"}}},
      {"/pre_tokenizer/type", "Whitespace"},
      {"/model/type", "Unigram"},
      {"/model/end_of_word_suffix", nullptr},
      {"/model/continuing_subword_prefix", "##"},
      {"/model/dropout", 0.1},
      {"/model/byte_fallback", true},
  };
  for (const auto& [place, value] : differences) {
    const std::string key = std::string(place).starts_with("/normalizer") ? "/normalizer" : place;
    EXPECT_THAT(refusal(place, value, ErrorCode::kInvalidArgument),
                testing::HasSubstr("tokenizer.json: " + key + " is "));
  }
  EXPECT_THAT(refusal("/model/vocab", 3, ErrorCode::kCorruption), testing::HasSubstr("vocab"));
  EXPECT_THAT(refusal("/model/vocab/zebra", -1, ErrorCode::kCorruption),
              testing::HasSubstr("the id of \"zebra\""));
  EXPECT_THAT(refusal("/model/merges/7", {"a", "b", "c"}, ErrorCode::kCorruption),
              testing::HasSubstr("merge 8 is not two tokens"));
  EXPECT_THAT(refusal("/model/merges/7", "no-such token", ErrorCode::kCorruption),
              testing::HasSubstr("merge 8 needs"));
}

TEST(ClipTokenizer, AgreesWithEveryPaddedGoldenLine) {
  VITRINE_NEED_FIXTURES();
  const TemporaryDirectory folder;
  const ClipTokenizer tokenizer = load_clip(folder);
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

TEST(ClipTokenizer, CleansTextsAsOpenClipDoes) {
  VITRINE_NEED_FIXTURES();
  const TemporaryDirectory folder;
  load_clip(folder);
  const ClipTokenizer tokenizer = ClipTokenizer::load(folder.path(), ClipCleaning::kOpenClip);
  std::vector<std::string> others;
  std::size_t lines = 0;
  for_each_line("tokenizer_other_oracles.jsonl", [&](const auto& line) {
    if (!line.contains("openai_clip")) return;
    const auto text = line["text"].template get<std::string>();
    // Its pattern ignores case: U+0345 is a letter to it, and special tokens come after "<".
    if (text.find("\u0345") != text.npos || text.find("text|>") != text.npos) return;
    ++lines;
    if (tokenizer.encode(text, kContextLength) != line["openai_clip"].template get<Ids>()) {
      others.push_back(text);
    }
  });
  EXPECT_GT(lines, 50U);
  EXPECT_THAT(others, testing::UnorderedElementsAre("\u00c3\u00a9", "\u00e2\u0080\u0099",
                                                    "\u00e2\u20ac\u2122s", "caf\u00c3\u00a9"))
      << "mojibake";
}

TEST(ClipTokenizer, FollowsTheFlagsOfAddedTokens) {
  VITRINE_NEED_FIXTURES();
  const TemporaryDirectory folder;
  load_clip(folder);
  std::ofstream(folder.path() / "tokenizer_config.json") << R"({"added_tokens_decoder": {
    "49406": {"content": "<|startoftext|>", "normalized": false},
    "49407": {"content": "<|endoftext|>", "normalized": true}}})";
  const ClipTokenizer tokenizer = ClipTokenizer::load(folder.path());
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

TEST(ClipTokenizer, TruncatesAndSaysSo) {
  VITRINE_NEED_FIXTURES();
  const TemporaryDirectory folder;
  const ClipTokenizer tokenizer = load_clip(folder);
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

TEST(ClipTokenizer, RefusesTextThatIsNotUtf8) {
  VITRINE_NEED_FIXTURES();
  const TemporaryDirectory folder;
  const ClipTokenizer tokenizer = load_clip(folder);
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
      ClipTokenizer::load(folder_.path());
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
  const ClipTokenizer tokenizer = ClipTokenizer::load(folder_.path());
  EXPECT_EQ(tokenizer.encode("ABA ab b x", 20), (Ids{6, 5, 0, 3, 3, 7, 7}))
      << "a byte that is not in the vocabulary is the unknown token";
  EXPECT_EQ(tokenizer.vocab_size(), 8);
}

/// "ab" is a word of the vocabulary, and a token added to it.
class AddedTokens : public SmallVocabulary {
 protected:
  AddedTokens() {
    write("vocab.json", R"({"a": 0, "b": 1, "a</w>": 2, "b</w>": 3, "ab</w>": 4,
                            "<|startoftext|>": 5, "<|endoftext|>": 6})");
    write("merges.txt", "a b</w>\n");
  }
  Ids encode(const char* text) const { return ClipTokenizer::load(folder_.path()).encode(text, 9); }
  /// One token in tokenizer_config.json.
  void describe(const std::string& id, const std::string& token) const {
    write("tokenizer_config.json", R"({"added_tokens_decoder": {")" + id + R"(": )" + token + "}}");
  }
};

TEST_F(AddedTokens, AreReadFromEveryFileThatListsThem) {
  EXPECT_EQ(encode("a <x> b"), (Ids{5, 2, 6, 6, 6, 3, 6}));
  const std::pair<const char*, const char*> files[] = {
      {"tokenizer.json", R"({"added_tokens": [{"id": 7, "content": "<x>", "normalized": false}]})"},
      {"tokenizer_config.json",
       R"({"added_tokens_decoder": {"7": {"content": "<x>", "normalized": false}}})"},
      {"added_tokens.json", R"({"<x>": 7})"}};
  for (const auto& [name, text] : files) {
    write(name, text);
    EXPECT_EQ(encode("a <x> b"), (Ids{5, 2, 7, 3, 6})) << name;
    EXPECT_EQ(ClipTokenizer::load(folder_.path()).vocab_size(), 8);
    std::filesystem::remove(folder_.path() / name);
  }
}

TEST_F(AddedTokens, MustNotContradictTheVocabulary) {
  describe("3", R"({"content": "<x>"})");
  EXPECT_THAT(load_error(), testing::HasSubstr("tokenizer_config.json: the added token \"<x>\""));
  describe("4", R"({"content": "<|endoftext|>"})");
  EXPECT_THAT(load_error(), testing::HasSubstr("has the id 4; in the vocabulary"));
  describe("seven", R"({"content": "<x>"})");
  EXPECT_THAT(load_error(), testing::HasSubstr("the id of \"<x>\" is not a small number"));
  describe("99999999999999999999", R"({"content": "<x>"})");
  EXPECT_THAT(load_error(), testing::HasSubstr("the id of \"<x>\" is not a small number"));
  describe("7", R"({"content": "<x>"})");
  write("added_tokens.json", R"({"<x>": 8})");
  EXPECT_THAT(load_error(), testing::HasSubstr("added_tokens.json: the added token \"<x>\""));
}

TEST_F(AddedTokens, MayBeWholeWordsOnly) {
  describe("0", R"({"content": "a", "single_word": true, "lstrip": true, "rstrip": true})");
  EXPECT_EQ(encode("a ab ba \xc3\xa9"
                   "a a"),
            (Ids{5, 0, 4, 1, 2, 6, 6, 2, 6}))
      << "of what fits";
  EXPECT_EQ(encode("a-a  a_"), (Ids{5, 0, 6, 0, 2, 6, 6}));
  describe("0", R"({"content": "a"})");
  EXPECT_EQ(encode("ab"), (Ids{5, 0, 3, 6}));
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
  std::filesystem::resize_file(folder_.path() / "merges.txt", (16 << 20) + 1);
  EXPECT_THAT(load_error(), testing::HasSubstr("merges.txt has 16777217 bytes"));
}

}  // namespace
}  // namespace vitrine::encoder
