#include "encoder/sentencepiece_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/base64.h"
#include "base/error.h"
#include "base/file.h"
#include "encoder/sentencepiece_model.h"
#include "tests/encoder/fixtures.h"
#include "tests/encoder/sentencepiece_file.h"

namespace vitrine::encoder {
namespace {

using Ids = std::vector<std::int32_t>;
using testing::HasSubstr;
using std::string_literals::operator""s;
using PieceType = SentencePieceModel::PieceType;

constexpr int kContextLength = 64;
constexpr std::int32_t kEnd = 1;

std::filesystem::path fixture(const char* name = "siglip_tokenizer") {
  return std::filesystem::path(VITRINE_SOURCE_DIR) / "tests/encoder/fixtures" / name;
}

SentencePieceTokenizer load_fixture(TextCleaning cleaning = TextCleaning::kSiglip) {
  return SentencePieceTokenizer::load(fixture(), cleaning);
}

/// A folder with one file of a tokenizer in it.
class Folder {
 public:
  Folder(const char* name, std::string_view bytes) { write(name, bytes); }
  void write(const char* name, std::string_view bytes) const {
    std::ofstream(folder_.path() / name, std::ios::binary) << bytes;
  }
  SentencePieceTokenizer load(TextCleaning cleaning = TextCleaning::kSiglip) const {
    return SentencePieceTokenizer::load(folder_.path(), cleaning);
  }
  /// Throws when there is none.
  Error load_error() const {
    try {
      load();
    } catch (const Error& error) {
      return error;
    }
    throw std::logic_error("the folder was accepted");
  }

 private:
  TemporaryDirectory folder_;
};

/// The tokenizer.json that transformers would write for a model.
nlohmann::json describe(const SentencePieceModel& model) {
  nlohmann::json json = nlohmann::json::parse(R"({
    "normalizer": {"type": "Precompiled"},
    "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
    "post_processor": {"type": "TemplateProcessing",
      "single": [{"Sequence": {"id": "A", "type_id": 0}},
                 {"SpecialToken": {"id": "</s>", "type_id": 0}}]},
    "added_tokens": [], "model": {"type": "Unigram", "vocab": []}})");
  json["normalizer"]["precompiled_charsmap"] = encode_base64(model.charsmap);
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const SentencePieceModel::Piece& piece = model.pieces[id];
    json["model"]["vocab"].push_back({piece.text, piece.score});
    if (piece.type == PieceType::kNormal || piece.type == PieceType::kByte) continue;
    json["added_tokens"].push_back({{"id", id}, {"content", piece.text}, {"special", true}});
    if (piece.type == PieceType::kUnknown) json["model"]["unk_id"] = id;
  }
  return json;
}

SentencePieceModel fixture_model(const char* name = "siglip_tokenizer") {
  return read_sentencepiece_model(fixture(name) / "spiece.model");
}

/// Pieces of the letters a to e, without normalisation rules.
SentencePieceModel letters() {
  SentencePieceModel model;
  model.pieces = {{"<pad>", 0, PieceType::kControl},
                  {"</s>", 0, PieceType::kControl},
                  {"<unk>", 0, PieceType::kUnknown},
                  {"\xe2\x96\x81", -2}};
  for (char letter = 'a'; letter <= 'e'; ++letter) model.pieces.push_back({{letter}, -3});
  return model;
}

void expect_golden_ids(const SentencePieceTokenizer& tokenizer,
                       const char* name = "siglip_tokenizer") {
  std::ifstream stream(fixture(name) / "golden.jsonl");
  std::size_t lines = 0;
  for (std::string line; std::getline(stream, line); ++lines) {
    const nlohmann::json golden = nlohmann::json::parse(line);
    bool truncated = false;
    EXPECT_EQ(tokenizer.encode(golden["text"].get<std::string>(), kContextLength, &truncated),
              golden["ids"].get<Ids>())
        << golden["text"];
    EXPECT_EQ(truncated, golden["truncated"].get<bool>()) << golden["text"];
  }
  EXPECT_EQ(lines, 211U);
}

TEST(SentencePieceTokenizer, AgreesWithEveryGoldenLine) {
  const SentencePieceTokenizer tokenizer = load_fixture();
  EXPECT_EQ(tokenizer.vocab_size(), 260);
  EXPECT_EQ(tokenizer.pad_id(), kEnd);
  expect_golden_ids(tokenizer);
}

TEST(SentencePieceTokenizer, AgreesWithEveryGoldenLineOfByteFallback) {
  constexpr const char* kBytes = "siglip_tokenizer_bytes";
  const SentencePieceTokenizer tokenizer = SentencePieceTokenizer::load(fixture(kBytes));
  EXPECT_EQ(tokenizer.vocab_size(), 512);
  expect_golden_ids(tokenizer, kBytes);
  nlohmann::json description = describe(fixture_model(kBytes));
  description["model"]["byte_fallback"] = true;
  expect_golden_ids(Folder("tokenizer.json", description.dump()).load(), kBytes);
  description["model"]["byte_fallback"] = false;
  EXPECT_EQ(Folder("tokenizer.json", description.dump()).load().encode("\xe6\xbc\xa2", 9),
            (Ids{259, 2, kEnd}));
}

TEST(SentencePieceTokenizer, IsTheSameFromTokenizerJson) {
  const nlohmann::json newest = describe(fixture_model());
  nlohmann::json oldest = newest;
  oldest["pre_tokenizer"] = nlohmann::json::parse(R"({"type": "Sequence", "pretokenizers": [
      {"type": "WhitespaceSplit"},
      {"type": "Metaspace", "replacement": "▁", "str_rep": "▁", "add_prefix_space": true}]})");
  nlohmann::json stepwise = newest;
  stepwise["normalizer"] = {
      {"type", "Sequence"},
      {"normalizers",
       {newest["normalizer"],
        {{"type", "Strip"}, {"strip_left", false}, {"strip_right", true}},
        {{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", "\xe2\x96\x81"}}}}};
  for (const nlohmann::json& description : {newest, oldest, stepwise}) {
    const SentencePieceTokenizer tokenizer = Folder("tokenizer.json", description.dump()).load();
    EXPECT_EQ(tokenizer.vocab_size(), 260);
    expect_golden_ids(tokenizer);
  }
}

TEST(SentencePieceTokenizer, PrefersTheFileThatTheCheckpointsProgramReads) {
  const Folder folder("spiece.model", serialize(letters()));
  EXPECT_EQ(folder.load(TextCleaning::kOpenClip).vocab_size(), 9);
  folder.write("tokenizer.json", describe(fixture_model()).dump());
  EXPECT_EQ(folder.load(TextCleaning::kSiglip).vocab_size(), 9);
  EXPECT_EQ(folder.load(TextCleaning::kOpenClip).vocab_size(), 260);
}

TEST(SentencePieceTokenizer, KeepsTheEndWhenItTruncates) {
  const SentencePieceTokenizer tokenizer = load_fixture();
  bool truncated = true;
  const Ids all = tokenizer.encode("a red dress", 4, &truncated);
  ASSERT_EQ(all.size(), 4U);
  EXPECT_FALSE(truncated);
  EXPECT_EQ(tokenizer.encode("a red dress", 3, &truncated), (Ids{all[0], all[1], kEnd}));
  EXPECT_TRUE(truncated);
  EXPECT_EQ(tokenizer.encode("a red dress", 1, &truncated), (Ids{kEnd}));
  EXPECT_TRUE(truncated);
  EXPECT_EQ(tokenizer.encode("", 1, &truncated), (Ids{kEnd}));
  EXPECT_FALSE(truncated);
  const std::int32_t red = all[1];
  const std::string ends = "red </s> </s>";
  EXPECT_EQ(tokenizer.encode(ends, 3, &truncated), (Ids{red, kEnd}))
      << "cut behind an end token, a text needs no other";
  EXPECT_TRUE(truncated);
  EXPECT_EQ(tokenizer.encode(ends, 4, &truncated), (Ids{red, kEnd, kEnd}));
  EXPECT_FALSE(truncated);
  EXPECT_THROW(tokenizer.encode("a", 0), Error);
}

TEST(SentencePieceTokenizer, ReadsOfALongTextWhatIdsHaveRoomFor) {
  const SentencePieceTokenizer tokenizer = load_fixture();
  std::string text;
  while (text.size() < (4 << 20)) text += "a pair of waterproof boots, ";
  bool truncated = false;
  const Ids ids = tokenizer.encode(text, kContextLength, &truncated);
  EXPECT_TRUE(truncated);
  EXPECT_EQ(ids, tokenizer.encode(text.substr(0, 2000), kContextLength));
  // Unknown characters become one id, however many they are.
  std::string unknown;
  for (int i = 0; i < 1 << 20; ++i) unknown += "\xe6\xbc\xa2";
  EXPECT_EQ(tokenizer.encode(unknown, kContextLength, &truncated).size(), 3U);
  EXPECT_TRUE(truncated);
}

TEST(SentencePieceTokenizer, RefusesTextThatIsNotUtf8) {
  const SentencePieceTokenizer tokenizer = load_fixture();
  for (const char* text : {"a\xff", "\xc0\xaf", "\xed\xa0\x80", "abc\xe2\x82"}) {
    EXPECT_THROW(tokenizer.encode(text, kContextLength), Error);
  }
}

TEST(SentencePieceTokenizer, KeepsCapitalsWhereTheConfigSaysSo) {
  SentencePieceModel model = letters();
  model.pieces.push_back({"B", -3});
  const Folder folder("spiece.model", serialize(model));
  EXPECT_EQ(folder.load().encode("aB</s>", 9), (Ids{3, 4, 5, kEnd}));
  folder.write("tokenizer_config.json", R"({"do_lower_case": false})");
  EXPECT_EQ(folder.load().encode("aB</s>", 9), (Ids{3, 4, 9, kEnd}));
  EXPECT_EQ(folder.load(TextCleaning::kOpenClip).encode("aB", 9), (Ids{3, 4, 5, kEnd}))
      << "open_clip lower-cases before it asks the tokenizer";
  folder.write("tokenizer_config.json", R"({"do_lower_case": 1})");
  EXPECT_THAT(folder.load_error().what(), HasSubstr("tokenizer_config.json: do_lower_case is 1"));
}

TEST(SentencePieceTokenizer, PadsAndEndsTextsWithOneToken) {
  const Folder folder("spiece.model", serialize(letters()));
  folder.write("tokenizer_config.json",
               R"({"pad_token": {"content": "</s>"}, "eos_token": "</s>", "unk_token": "<unk>"})");
  EXPECT_EQ(folder.load().pad_id(), kEnd);
  for (const char* key : {"pad_token", "eos_token"}) {
    for (const nlohmann::json& token :
         {nlohmann::json("<pad>"), nlohmann::json({{"content", "<pad>"}}), nlohmann::json(3)}) {
      folder.write("tokenizer_config.json", nlohmann::json({{key, token}}).dump());
      EXPECT_THAT(folder.load_error().what(),
                  HasSubstr("tokenizer_config.json: " + std::string(key) + " is "));
    }
  }
}

TEST(SentencePieceTokenizer, CleansTextsAsTheCheckpointsProgramDoes) {
  SentencePieceModel model = letters();
  model.pieces.push_back({"\xcf\x82", -3});  // final sigma
  model.pieces.push_back({"\xcf\x83", -3});
  const Folder folder("spiece.model", serialize(model));
  const SentencePieceTokenizer siglip = folder.load();
  const SentencePieceTokenizer open_clip = folder.load(TextCleaning::kOpenClip);
  for (const char* text : {"a b", "a\tb ", "A, B!", "-", ""}) {
    EXPECT_EQ(siglip.encode(text, 9), open_clip.encode(text, 9)) << text;
  }
  EXPECT_EQ(siglip.encode("a_b", 9), (Ids{3, 4, 5, kEnd}));
  EXPECT_EQ(open_clip.encode("a_b", 9), (Ids{3, 4, 3, 5, kEnd}));
  EXPECT_EQ(siglip.encode("A\xce\xa3", 9), (Ids{3, 4, 10, kEnd}));
  EXPECT_EQ(open_clip.encode("A\xce\xa3", 9), (Ids{3, 4, 9, kEnd}));
  EXPECT_EQ(siglip.encode("a</S>b", 9), (Ids{3, 4, kEnd, 5, kEnd}));
  EXPECT_EQ(open_clip.encode("a</S>b", 9), (Ids{3, 4, 2, 5, kEnd}));
  EXPECT_EQ(siglip.encode("a\034b", 9), (Ids{3, 4, 3, 5, kEnd}));
  EXPECT_EQ(open_clip.encode("a\034b", 9), (Ids{3, 4, 5, kEnd}));
  EXPECT_EQ(open_clip.encode("a\xe2\x80\x99&amp;\xef\xbc\xa2", 9), (Ids{3, 4, 5, kEnd}));
}

TEST(SentencePieceTokenizer, IsTheSameFromManyThreads) {
  const SentencePieceTokenizer tokenizer = load_fixture();
  std::vector<std::string> texts;
  std::vector<Ids> expected;
  for (int i = 0; i < 100; ++i) {
    texts.push_back("size " + std::to_string(i * 37) + " caf\xc3\xa9 \xef\xbc\xa1 dress </s> hat");
    expected.push_back(tokenizer.encode(texts.back(), kContextLength));
  }
  std::vector<std::thread> threads;
  std::vector<int> agreed(4);
  for (int& count : agreed) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < texts.size(); ++i) {
        count += tokenizer.encode(texts[i], kContextLength) == expected[i] ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(agreed, testing::Each(100));
}

TEST(SentencePieceFiles, NamesTheMissingOnes) {
  const TemporaryDirectory folder;
  try {
    SentencePieceTokenizer::load(folder.path());
    ADD_FAILURE() << "an empty folder was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.what(), HasSubstr("neither spiece.model nor tokenizer.json"));
  }
}

TEST(SentencePieceFiles, RefusesATruncatedModel) {
  const std::string model = read_all(fixture() / "spiece.model");
  const TemporaryDirectory folder;
  // Every length around the vocabulary's, and some within the normalisation rules.
  std::vector<std::size_t> lengths = {model.size() - 1, model.size() / 2, model.size() / 4};
  for (std::size_t length = 0; length < 6000; length += 7) lengths.push_back(length);
  for (const std::size_t length : lengths) {
    const Error error = Folder("spiece.model", model.substr(0, length)).load_error();
    EXPECT_EQ(error.code(), ErrorCode::kCorruption) << length;
    EXPECT_THAT(error.what(), HasSubstr("spiece.model: ")) << length;
  }
}

/// What holds of any tokenizer.
void use(const SentencePieceTokenizer& tokenizer) {
  for (const char* text :
       {"", "A red dress, size 7\xc2\xbd", "\xef\xb7\xba \xe3\x8c\x96 \xe6\xbc\xa2",
        "a\xcc\x88</s><unk>  caf\xc3\xa9"}) {
    const Ids ids = tokenizer.encode(text, kContextLength);
    ASSERT_GE(ids.size(), 1U);
    ASSERT_LE(ids.size(), static_cast<std::size_t>(kContextLength));
    for (const std::int32_t id : ids) {
      ASSERT_GE(id, 0);
      ASSERT_LT(id, tokenizer.vocab_size());
    }
  }
}

TEST(SentencePieceFiles, SurvivesFlippedBits) {
  const std::string model = read_all(fixture() / "spiece.model");
  std::mt19937 random(1);
  std::vector<std::size_t> positions;
  for (std::size_t i = 0; i < 300; ++i) positions.push_back(random() % 6000);
  for (std::size_t i = 0; i < 300; ++i) positions.push_back(random() % model.size());
  int refused = 0;
  for (const std::size_t position : positions) {
    std::string damaged = model;
    damaged[position] = static_cast<char>(damaged[position] ^ (1U << random() % 8));
    const Folder folder("spiece.model", damaged);
    try {
      use(folder.load());
    } catch (const Error& error) {
      ++refused;
      EXPECT_THAT(error.code(), testing::AnyOf(ErrorCode::kCorruption, ErrorCode::kInvalidArgument))
          << position;
      EXPECT_THAT(error.what(), HasSubstr("spiece.model: ")) << position;
    }
  }
  EXPECT_GT(refused, 50);
}

TEST(SentencePieceFiles, RefusesModelsOfOtherTypes) {
  for (const char type : {2, 3, 4, 9}) {
    const std::string trainer_spec = std::string("\x12\x02\x18") + type;
    const Error error =
        Folder("spiece.model", serialize(fixture_model()) + trainer_spec).load_error();
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("spiece.model: trainer_spec.model_type is "));
  }
}

TEST(SentencePieceFiles, RefusesMorePiecesThanAnyVocabularyHas) {
  std::string model;
  for (int i = 0; i <= 1 << 20; ++i) model += "\n\0"s;  // without a text
  EXPECT_THAT(Folder("spiece.model", model).load_error().what(),
              HasSubstr("spiece.model: there are more than 1048576 pieces"));
}

TEST(SentencePieceFiles, RefusesAVocabularyThatMakesNoSense) {
  const auto refusal = [](auto change) {
    SentencePieceModel model = letters();
    change(model);
    const Error error = Folder("spiece.model", serialize(model)).load_error();
    EXPECT_EQ(error.code(), ErrorCode::kCorruption);
    return std::string(error.what());
  };
  using Model = SentencePieceModel;
  EXPECT_THAT(refusal([](Model& model) { model.pieces.clear(); }), HasSubstr("no unknown piece"));
  EXPECT_THAT(refusal([](Model& model) { model.pieces[5].text = ""; }), HasSubstr("piece 5 is"));
  EXPECT_THAT(refusal([](Model& model) { model.pieces[5].text = "\xff"; }),
              HasSubstr("piece 5 is"));
  EXPECT_THAT(refusal([](Model& model) { model.pieces[5].score = NAN; }),
              HasSubstr("score of piece 5"));
  EXPECT_THAT(refusal([](Model& model) { model.pieces[5].text = "a"; }),
              HasSubstr("the piece \"a\" is there twice"));
  EXPECT_THAT(refusal([](Model& model) { model.pieces.erase(model.pieces.begin() + 1); }),
              HasSubstr("no \"</s>\""));
  EXPECT_THAT(refusal([](Model& model) { model.pieces[2].type = PieceType::kControl; }),
              HasSubstr("no unknown piece"));
  EXPECT_THAT(refusal([](Model& model) { model.pieces[5].type = PieceType::kUnknown; }),
              HasSubstr("two unknown pieces"));
  EXPECT_THAT(refusal([](Model& model) { model.byte_fallback = true; }),
              HasSubstr("the piece \"<0x00>\" of a byte is missing"));
}

/// One block of a table, all of whose units are the same, before two replacements.
std::string rules(std::uint32_t unit) {
  std::string charsmap("\0\4\0\0", 4);
  for (int i = 0; i < 256; ++i) {
    for (int shift = 0; shift < 32; shift += 8) charsmap += static_cast<char>(unit >> shift);
  }
  return charsmap + std::string("x\0y\0", 4);
}

TEST(SentencePieceFiles, RefusesNormalizationRulesThatLeadAstray) {
  const auto refusal = [](const std::string& charsmap) {
    SentencePieceModel model = letters();
    model.charsmap = charsmap;
    const Error error = Folder("spiece.model", serialize(model)).load_error();
    EXPECT_EQ(error.code(), ErrorCode::kCorruption);
    return std::string(error.what());
  };
  SentencePieceModel accepted = letters();
  accepted.charsmap = rules(0);
  use(Folder("spiece.model", serialize(accepted)).load());
  accepted.charsmap = rules('a');  // "a" leads from every state to itself
  use(Folder("spiece.model", serialize(accepted)).load());
  EXPECT_THAT(refusal("abc"), HasSubstr("cut off"));
  EXPECT_THAT(refusal(rules(0).substr(0, 1000)), HasSubstr("has 1024 bytes of 1000"));
  EXPECT_THAT(refusal(std::string("\4\0\0\0\0\0\0\0x", 9)), HasSubstr("has 4 bytes of 9"));
  EXPECT_THAT(refusal(rules(256U << 10)), HasSubstr("out of their table"));
  EXPECT_THAT(refusal(rules(0x100 | 77)), HasSubstr("is missing"));
  // Every unit says that its replacement starts at byte 256.
  EXPECT_THAT(refusal(rules(0x100) + std::string(900, 'z')), HasSubstr("too long"));
  EXPECT_THAT(refusal(rules(0x100) + std::string(300, '\xff')), HasSubstr("not UTF-8"));
}

TEST(SentencePieceFiles, RefusesATokenizerJsonThatWorksInAnotherWay) {
  const nlohmann::json good = describe(letters());
  const auto refusal = [&](const char* place, const nlohmann::json& value) {
    nlohmann::json description = good;
    description["normalizer"]["precompiled_charsmap"] = encode_base64(fixture_model().charsmap);
    description[nlohmann::json::json_pointer(place)] = value;
    return Folder("tokenizer.json", description.dump()).load_error();
  };
  const std::pair<const char*, nlohmann::json> differences[] = {
      {"/model/type", "BPE"},
      {"/model/byte_fallback", 1},
      {"/normalizer/type", "NFKC"},
      {"/normalizer/precompiled_charsmap", nullptr},
      {"/pre_tokenizer/type", "Whitespace"},
      {"/pre_tokenizer/replacement", "_"},
      {"/pre_tokenizer/prepend_scheme", "never"},
      {"/pre_tokenizer/split", false},
      {"/post_processor/type", "BertProcessing"},
  };
  for (const auto& [place, value] : differences) {
    const Error error = refusal(place, value);
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr(std::string("tokenizer.json: ") + place + " is "));
  }
  const nlohmann::json lower_case = {
      {"type", "Sequence"}, {"normalizers", {good["normalizer"], {{"type", "Lowercase"}}}}};
  EXPECT_THAT(refusal("/normalizer", lower_case).what(),
              HasSubstr("/normalizer/normalizers/1/type is \"Lowercase\""));
  const std::pair<const char*, nlohmann::json> damages[] = {
      {"/normalizer/precompiled_charsmap", "%"},
      {"/model/vocab", 3},
      {"/model/vocab/5", {"a"}},
      {"/model/vocab/5/1", "b"},
      {"/model/unk_id", 9},
      {"/model/unk_id", nullptr},
      {"/added_tokens/0", {{"id", 3}}},
  };
  for (const auto& [place, value] : damages) {
    const Error error = refusal(place, value);
    EXPECT_EQ(error.code(), ErrorCode::kCorruption) << place;
    EXPECT_THAT(error.what(), HasSubstr("tokenizer.json: ")) << place;
  }
}

}  // namespace
}  // namespace vitrine::encoder
