#include "storage/catalog_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <stdexcept>

#include "base/file.h"
#include "tests/storage/error_code.h"

namespace vitrine::storage {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct Outcome {
  std::vector<Product> products;
  std::vector<BadRecord> bad;
  std::uint64_t count = 0;
};

Outcome read_file_of(const std::filesystem::path& path) {
  Outcome outcome;
  outcome.count = read_catalog(
      path, [&](Product&& product) { outcome.products.push_back(std::move(product)); },
      [&](BadRecord&& bad) { outcome.bad.push_back(std::move(bad)); });
  EXPECT_EQ(outcome.count, outcome.products.size() + outcome.bad.size());
  return outcome;
}

Outcome read_text(const std::string& text, const std::string& extension) {
  const TemporaryDirectory folder;
  const auto path = folder.path() / ("catalog" + extension);
  write_file_atomically(path, text);
  return read_file_of(path);
}

std::string error_of_text(const std::string& text, const std::string& extension) {
  return error_of([&] { read_text(text, extension); });
}

/// One JSON record in the given format.
Outcome read_record(const std::string& record, const std::string& extension) {
  return read_text(extension == ".json" ? "[" + record + "]" : record + "\n", extension);
}

std::string reason_of_record(const std::string& record, const std::string& extension) {
  const Outcome outcome = read_record(record, extension);
  EXPECT_TRUE(outcome.products.empty()) << record;
  if (outcome.bad.size() != 1) {
    ADD_FAILURE() << outcome.bad.size() << " bad records for " << record;
    return {};
  }
  EXPECT_EQ(outcome.bad[0].record, 1u);
  EXPECT_THAT(outcome.bad[0].reason, HasSubstr("catalog" + extension));
  return outcome.bad[0].reason;
}

std::string record_with(const json& changes = json::object()) {
  json record = {{"id", "a"}, {"image", "a.png"}, {"caption", "a red dress"}};
  record.update(changes);
  return record.dump();
}

// Rules that hold for JSON records in either layout.
class JsonRecord : public ::testing::TestWithParam<std::string> {
 protected:
  std::string reason(const json& changes) {
    return reason_of_record(record_with(changes), GetParam());
  }
};

INSTANTIATE_TEST_SUITE_P(Formats, JsonRecord, ::testing::Values(".json", ".jsonl", ".ndjson"),
                         [](const auto& format) { return format.param.substr(1); });

TEST_P(JsonRecord, BecomesAProductWithFurtherKeysAsAttributes) {
  const Outcome outcome = read_record(
      record_with({{"price", 12.5}, {"tags", {"a", "b"}}, {"maker", {{"name", "m"}}}}), GetParam());
  ASSERT_EQ(outcome.products.size(), 1u);
  const Product& product = outcome.products[0];
  EXPECT_EQ(product.id, "a");
  EXPECT_EQ(product.image, "a.png");
  EXPECT_EQ(product.caption, "a red dress");
  EXPECT_EQ(product.attributes, json::parse(R"({"price":12.5,"tags":["a","b"],
                                                "maker":{"name":"m"}})"));
}

TEST_P(JsonRecord, TakesAnIntegerAsId) {
  EXPECT_EQ(read_record(record_with({{"id", 17}}), GetParam()).products.at(0).id, "17");
  EXPECT_EQ(read_record(record_with({{"id", -3}}), GetParam()).products.at(0).id, "-3");
}

TEST_P(JsonRecord, IsBadWithoutItsRequiredFields) {
  for (const char* field : {"id", "image", "caption"}) {
    for (const json& value : {json(""), json(" \t"), json(nullptr)}) {
      EXPECT_THAT(reason({{field, value}}), HasSubstr(std::string(field) + " is missing or empty"));
    }
    json record = json::parse(record_with());
    record.erase(field);
    EXPECT_THAT(reason_of_record(record.dump(), GetParam()),
                HasSubstr(std::string(field) + " is missing or empty"));
  }
}

TEST_P(JsonRecord, IsBadWithAFieldOfTheWrongType) {
  EXPECT_THAT(reason({{"id", 1.5}}), HasSubstr("id is a JSON number; it must be"));
  EXPECT_THAT(reason({{"id", true}}), HasSubstr("id is a JSON boolean"));
  EXPECT_THAT(reason({{"id", json::array({1})}}), HasSubstr("id is a JSON array"));
  EXPECT_THAT(reason({{"image", 3}}), HasSubstr("image is a JSON number"));
  EXPECT_THAT(reason({{"caption", json::object()}}), HasSubstr("caption is a JSON object"));
  for (const char* record : {"3", "null", "\"text\"", "[]"}) {
    EXPECT_THAT(reason_of_record(record, GetParam()), HasSubstr("must be an object"));
  }
}

TEST_P(JsonRecord, IsBadBeyondTheLimits) {
  EXPECT_THAT(reason({{"id", std::string(kMaxIdBytes + 1, 'a')}}), HasSubstr("id has 513 bytes"));
  EXPECT_THAT(reason({{"image", std::string(kMaxImageBytes + 1, 'a')}}), HasSubstr("image has"));
  EXPECT_THAT(reason({{"caption", std::string(kMaxCaptionBytes + 1, 'a')}}),
              HasSubstr("caption has"));
  EXPECT_THAT(reason({{"further", std::string(kMaxAttributesBytes, 'a')}}),
              HasSubstr("attributes have"));
  EXPECT_THAT(reason({{"further", std::string(2'000'000, 'a')}}),
              AnyOf(HasSubstr("larger than"), HasSubstr("longer than")));
  EXPECT_EQ(
      read_record(record_with({{"id", std::string(kMaxIdBytes, 'a')}}), GetParam()).products.size(),
      1u);
}

TEST_P(JsonRecord, IsBadWithControlCharactersInIdOrImage) {
  for (const char* escape : {"\\u0000", "\\n", "\\u007f", "\\u0085"}) {
    const std::string text = std::string("\"a") + escape + "b\"";
    EXPECT_THAT(reason_of_record(R"({"id":)" + text + R"(,"image":"i","caption":"c"})", GetParam()),
                HasSubstr("id \"a\\x"));
    EXPECT_THAT(reason_of_record(R"({"id":"a","image":)" + text + R"(,"caption":"c"})", GetParam()),
                HasSubstr("control character"));
  }
}

TEST_P(JsonRecord, IsBadWithInvalidUtf8AndOthersAreRead) {
  const std::string good = record_with();
  for (const char* bytes : {"\xff", "\xc3", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xc0\xaf"}) {
    const std::string broken =
        R"({"id":"b","image":"i","caption":"caf)" + std::string(bytes) + "\"}";
    const Outcome outcome = GetParam() == ".json"
                                ? read_text("[" + broken + "," + good + "]", ".json")
                                : read_text(broken + "\n" + good + "\n", GetParam());
    ASSERT_EQ(outcome.bad.size(), 1u);
    EXPECT_THAT(outcome.bad[0].reason, HasSubstr("not valid UTF-8"));
    ASSERT_EQ(outcome.products.size(), 1u);
    EXPECT_EQ(outcome.products[0].id, "a");
  }
}

TEST_P(JsonRecord, IsBadWithHalfASurrogatePairOrATooLargeNumberAndOthersAreRead) {
  const std::string good = record_with();
  for (const std::string field :
       {R"("caption":"caf\ud83d")", R"("caption":"caf\ud83d \ud83d\ud83d")",
        R"("caption":"\udc57 \\\udc57")", R"("caption":"\ud83d\u0041")",
        R"("caption":"c","x":1e999)", R"("caption":"c","x":[-1E+999])"}) {
    const std::string broken = R"({"id":"b","image":"i",)" + field + "}";
    const Outcome outcome = GetParam() == ".json"
                                ? read_text("[" + broken + "," + good + "]", ".json")
                                : read_text(broken + "\n" + good + "\n", GetParam());
    ASSERT_EQ(outcome.bad.size(), 1u) << field;
    EXPECT_THAT(outcome.bad[0].reason, AnyOf(HasSubstr("surrogate"), HasSubstr("number")));
    EXPECT_THAT(outcome.bad[0].reason, Not(HasSubstr("array of objects")));
    ASSERT_EQ(outcome.products.size(), 1u) << field;
    EXPECT_EQ(outcome.products[0].id, "a");
  }
}

TEST_P(JsonRecord, KeepsEscapesAndNumbersThatAreWellFormed) {
  const Outcome outcome =
      read_record(R"({"id":"a","image":"i","caption":"\ud83d\udc57 \u00e5 \\ud83d \"q\" 1e999",)"
                  R"("x":[1e308,-2.5E-3,1e-999,0],"\u0041":12})",
                  GetParam());
  ASSERT_EQ(outcome.products.size(), 1u);
  EXPECT_EQ(outcome.products[0].caption, R"(👗 å \ud83d "q" 1e999)");
  EXPECT_EQ(outcome.products[0].attributes, json::parse(R"({"x":[1e308,-2.5e-3,0.0,0],"A":12})"));
}

TEST_P(JsonRecord, KeepsWellFormedUtf8) {
  const Outcome outcome = read_record(record_with({{"caption", "blå 連衣裙 👗"}}), GetParam());
  ASSERT_EQ(outcome.products.size(), 1u);
  EXPECT_EQ(outcome.products[0].caption, "blå 連衣裙 👗");
}

TEST_P(JsonRecord, IsBadWhenNestedTooDeepWithoutTouchingTheStack) {
  const std::size_t depth = 200'000;
  const std::string deep = R"({"id":"d","x":)" + std::string(depth, '[') + std::string(depth, ']') +
                           R"(,"image":"i","caption":"c"})";
  EXPECT_THAT(reason_of_record(deep, GetParam()),
              AllOf(HasSubstr("nested deeper than 32"), HasSubstr("with id \"d\"")));
}

TEST_P(JsonRecord, MayNotShareAnId) {
  const std::string first = record_with({{"id", 7}});
  const std::string second = record_with({{"id", "7"}, {"caption", "other"}});
  const Outcome outcome = GetParam() == ".json"
                              ? read_text("[" + first + "," + second + "]", ".json")
                              : read_text(first + "\n" + second, GetParam());
  ASSERT_EQ(outcome.products.size(), 1u);
  EXPECT_EQ(outcome.products[0].caption, "a red dress");
  ASSERT_EQ(outcome.bad.size(), 1u);
  EXPECT_EQ(outcome.bad[0].record, 2u);
  EXPECT_EQ(outcome.bad[0].id, "7");
  EXPECT_THAT(outcome.bad[0].reason, HasSubstr("used by an earlier record"));
}

TEST(JsonArray, ReadsRecordsInOrderBehindAByteOrderMark) {
  const Outcome outcome = read_text(
      "\xef\xbb\xbf [" + record_with() + ",\n" + record_with({{"id", "b"}}) + "]\n", ".json");
  ASSERT_EQ(outcome.products.size(), 2u);
  EXPECT_EQ(outcome.products[1].id, "b");
}

TEST(JsonArray, ThatIsBrokenNamesFileAndRecord) {
  EXPECT_THAT(error_of_text("[" + record_with() + ",{\"id\": oops}]", ".json"),
              AllOf(StartsWith("invalid_argument"), HasSubstr("catalog.json, record 2")));
  EXPECT_THAT(error_of_text("[" + record_with(), ".json"),
              AllOf(StartsWith("invalid_argument"), Not(HasSubstr("array of objects"))));
  EXPECT_THAT(error_of_text("[" + record_with() + "] more", ".json"),
              StartsWith("invalid_argument"));
  EXPECT_THAT(error_of_text(record_with(), ".json"), HasSubstr("must be a JSON array of objects"));
  EXPECT_THAT(error_of_text("3", ".json"), HasSubstr("must be a JSON array of objects"));
}

TEST(JsonArray, SaysWhichRecordHasANumberThatIsTooLargeOrTooLong) {
  const Outcome outcome = read_text(R"([{"id":"b","x":1e999,"image":"i","caption":"c"},{"id":)" +
                                        std::string(2'000'000, '1') +
                                        R"(,"image":"i","caption":"c"},)" + record_with() + "]",
                                    ".json");
  ASSERT_EQ(outcome.bad.size(), 2u);
  EXPECT_THAT(outcome.bad[0].reason,
              HasSubstr("record 1 with id \"b\": the number 1e999 is too large"));
  EXPECT_THAT(outcome.bad[1].reason, HasSubstr("record 2: a number in it has more than"));
  ASSERT_EQ(outcome.products.size(), 1u);
}

TEST(JsonArray, StopsAtATokenThatWouldFillTheMemory) {
  const std::string huge = "[{\"id\":\"" + std::string(17u << 20, 'a') + "\"}]";
  EXPECT_THAT(error_of_text(huge, ".json"), StartsWith("resource_exhausted"));
}

TEST(JsonLines, SkipsBlankLinesAndSurvivesBrokenAndOverlongOnes) {
  const Outcome outcome =
      read_text("\xef\xbb\xbf" + record_with() + "\r\n\r\n{\"id\": \n" +
                    std::string(3u << 20, 'x') + "\n" + record_with({{"id", "z"}}),
                ".jsonl");
  ASSERT_EQ(outcome.products.size(), 2u);
  EXPECT_EQ(outcome.products[1].id, "z");
  ASSERT_EQ(outcome.bad.size(), 2u);
  EXPECT_EQ(outcome.bad[0].record, 2u);
  EXPECT_THAT(outcome.bad[0].reason, HasSubstr("catalog.jsonl, line 3"));
  EXPECT_EQ(outcome.bad[1].record, 3u);
  EXPECT_THAT(outcome.bad[1].reason, HasSubstr("longer than"));
}

TEST(Csv, FollowsRfc4180) {
  const Outcome outcome = read_text(
      "\xef\xbb\xbfid,caption,image,note\r\n"
      "1,\"a \"\"red\"\", long\r\ndress\",a.png,\"\"\r\n"
      "\r\n"
      "\"2\",plain,b.png,12\" heel\r\n"
      "3,last,c.png,end",
      ".csv");
  ASSERT_EQ(outcome.products.size(), 3u);
  EXPECT_EQ(outcome.products[0].id, "1");
  EXPECT_EQ(outcome.products[0].caption, "a \"red\", long\r\ndress");
  EXPECT_EQ(outcome.products[0].attributes, json::object());
  EXPECT_EQ(outcome.products[1].id, "2");
  EXPECT_EQ(outcome.products[1].attributes, json({{"note", "12\" heel"}}));
  EXPECT_EQ(outcome.products[2].attributes, json({{"note", "end"}}));
}

TEST(Csv, TurnsIntoNumbersWhatLosesNoDigit) {
  for (const char* text : {"0", "12", "-7", "19.9", "-0.25", "12.0", "9007199254740993",
                           "18446744073709551615", "0.001"}) {
    const Outcome outcome = read_text(std::string("id,image,caption,x\n1,i,c,") + text, ".csv");
    ASSERT_EQ(outcome.products.size(), 1u);
    const json& value = outcome.products[0].attributes.at("x");
    EXPECT_TRUE(value.is_number()) << text;
    EXPECT_EQ(value.dump(), text);
  }
}

TEST(Csv, TakesPricesForNumbersHoweverManyZerosTheyEndIn) {
  const Outcome outcome =
      read_text("id,image,caption,x\n1,i,c,19.90\n2,i,c,5.00\n3,i,c,0.00\n4,i,c,-7.250\n", ".csv");
  ASSERT_EQ(outcome.products.size(), 4u);
  const double expected[] = {19.9, 5, 0, -7.25};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(outcome.products[i].attributes, json({{"x", expected[i]}}));
  }
}

TEST(Csv, KeepsOtherTextsAsTheyAre) {
  for (const char* text : {"007", "12 cm", "0x1f", "12 ", " 12", "123456789012345678901234567890",
                           "1e999", "12E4", "-1.5e2", "007.50", "3.14159265358979323846", "-0", "-",
                           ".5", "5.", "1.2.3", "2024-05-01"}) {
    const Outcome outcome = read_text(std::string("id,image,caption,x\n1,i,c,") + text, ".csv");
    ASSERT_EQ(outcome.products.size(), 1u);
    EXPECT_EQ(outcome.products[0].attributes, json({{"x", text}}));
  }
}

TEST(Csv, KeepsNumbersInItsOwnFieldsAsTexts) {
  const Outcome outcome = read_text("id,image,caption\n007,i,42\n", ".csv");
  ASSERT_EQ(outcome.products.size(), 1u);
  EXPECT_EQ(outcome.products[0].id, "007");
  EXPECT_EQ(outcome.products[0].caption, "42");
}

TEST(CatalogReader, RefusesIdsThatNoUrlCanName) {
  for (const char* id : {".", ".."}) {
    const std::string record =
        "{\"id\": \"" + std::string(id) + "\", \"image\": \"a.png\", \"caption\": \"a\"}";
    EXPECT_THAT(reason_of_record(record, ".jsonl"), HasSubstr("which no URL can name"));
  }
}

TEST(Csv, SurvivesBadRecords) {
  const Outcome outcome = read_text(
      "id,image,caption\n"
      "1,a.png\n"
      "2,b.png,red, dress\n"
      "3,\"c\"x.png,text\n"
      "4,d.png,\n"
      "5,e.png,caf\xe9\n"
      "6,f.png,\"" +
          std::string(2u << 20, 'x') +
          "\"\n"
          "7,g.png,good\n"
          "7,h.png,again\n",
      ".csv");
  ASSERT_EQ(outcome.products.size(), 1u);
  EXPECT_EQ(outcome.products[0].id, "7");
  ASSERT_EQ(outcome.bad.size(), 7u);
  EXPECT_THAT(outcome.bad[0].reason, HasSubstr("record 1 (line 2) with id \"1\": it has 2 fields"));
  EXPECT_THAT(outcome.bad[1].reason, HasSubstr("it has 4 fields; the header row has 3"));
  EXPECT_THAT(outcome.bad[2].reason, HasSubstr("text follows the closing quote"));
  EXPECT_THAT(outcome.bad[3].reason, HasSubstr("caption is missing"));
  EXPECT_THAT(outcome.bad[4].reason, HasSubstr("caption is not valid UTF-8"));
  EXPECT_THAT(outcome.bad[5].reason, HasSubstr("larger than"));
  EXPECT_EQ(outcome.bad[6].record, 8u);
}

TEST(Csv, RefusesAHeaderRowThatIsNone) {
  EXPECT_THAT(error_of_text("1,a.png,a dress\n", ".csv"), HasSubstr("no column \"id\"; it has: 1"));
  EXPECT_THAT(error_of_text("id,image\n1,a\n", ".csv"), HasSubstr("no column \"caption\""));
  EXPECT_THAT(error_of_text("id,image,caption,id\n", ".csv"), HasSubstr("two columns"));
  EXPECT_THAT(error_of_text("id,image,caption,\xff\n", ".csv"), HasSubstr("not valid UTF-8"));
}

TEST(Csv, NamesAQuoteThatIsNeverClosed) {
  EXPECT_THAT(error_of_text("id,image,caption\n1,a,\"open\n2,b,c\n", ".csv"),
              AllOf(StartsWith("invalid_argument"), HasSubstr("opened in line 2 is never closed")));
}

TEST(Catalog, NeedNotNameImagesWhereTheyAreOptional) {
  const TemporaryDirectory folder;
  for (const auto& [name, text] : std::vector<std::pair<std::string, std::string>>{
           {"a.csv", "id,caption\n1,a hat\n"},
           {"a.jsonl", "{\"id\": 1, \"caption\": \"a hat\"}\n"},
           {"a.json", "[{\"id\": 1, \"image\": null, \"caption\": \"a hat\"}]"}}) {
    write_file_atomically(folder.path() / name, text);
    std::vector<Product> products;
    const auto read = [&](RequiredFields required) {
      return read_catalog(
          folder.path() / name, [&](Product&& product) { products.push_back(std::move(product)); },
          [](BadRecord&& bad) { throw std::runtime_error(bad.reason); }, required);
    };
    EXPECT_EQ(read(RequiredFields::kIdAndCaption), 1u) << name;
    ASSERT_EQ(products.size(), 1u) << name;
    EXPECT_EQ(products[0].image, "");
    EXPECT_THROW(read(RequiredFields::kAll), std::runtime_error) << name;
  }
}

TEST(Catalog, WithoutRecordsIsRefused) {
  for (const char* extension : {".json", ".jsonl", ".csv"}) {
    EXPECT_THAT(error_of_text("", extension), HasSubstr("holds no records")) << extension;
  }
  EXPECT_THAT(error_of_text("[]", ".json"), HasSubstr("holds no records"));
  EXPECT_THAT(error_of_text("\n \n", ".jsonl"), HasSubstr("holds no records"));
  EXPECT_THAT(error_of_text("id,image,caption\n", ".csv"), HasSubstr("holds no records"));
}

TEST(Catalog, NamesTheKnownExtensionsAndIgnoresTheirCase) {
  EXPECT_THAT(error_of_text("x", ".xml"), HasSubstr("one of: .json .jsonl .ndjson .csv"));
  EXPECT_EQ(read_text(record_with(), ".JSONL").products.size(), 1u);
}

TEST(Catalog, IsARegularFile) {
  const TemporaryDirectory folder;
  const auto path = folder.path() / "c.json";
  EXPECT_THAT(error_of([&] { read_file_of(path); }), StartsWith("not_found"));
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { read_file_of(path); }), StartsWith("invalid_argument"));
  std::filesystem::create_directory(folder.path() / "d.csv");
  EXPECT_THAT(error_of([&] { read_file_of(folder.path() / "d.csv"); }),
              StartsWith("invalid_argument"));
}

TEST(Catalog, EndsWithWhatACallbackThrows) {
  const TemporaryDirectory folder;
  for (const char* name : {"c.json", "c.jsonl"}) {
    const auto path = folder.path() / name;
    write_file_atomically(path,
                          path.extension() == ".json" ? "[" + record_with() + "]" : record_with());
    EXPECT_THROW(read_catalog(
                     path, [](Product&&) { throw std::domain_error("stop"); }, [](BadRecord&&) {}),
                 std::domain_error);
  }
}

TEST(Catalog, OfRealPhotographsReadsTheSameFromBothFormats) {
  const std::filesystem::path folder = VITRINE_SHARED_DIR "/catalogs/clothing";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is missing";
  const Outcome array = read_file_of(folder / "catalog.json");
  const Outcome lines = read_file_of(folder / "catalog.jsonl");
  EXPECT_EQ(array.products.size(), 713u);
  EXPECT_TRUE(array.bad.empty());
  EXPECT_EQ(array.products, lines.products);
}

}  // namespace
}  // namespace vitrine::storage
