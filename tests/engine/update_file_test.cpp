#include "engine/update_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "support.h"

namespace vitrine::engine {
namespace {

using ::testing::HasSubstr;

class UpdateFile : public ::testing::Test {
 protected:
  void SetUp() override { engine_->index_catalog(catalog_.request()); }

  UpsertReport upsert(const std::string& text, const std::string& name = "changed.jsonl",
                      bool strict = false) const {
    std::ofstream(folder_.path() / name) << text;
    UpsertRequest request;
    request.catalog = "shop";
    request.file = folder_.path() / name;
    request.strict = strict;
    return upsert_file(*engine_.engine, request);
  }
  storage::Product product(const std::string& id) const {
    return engine_->catalog("shop")->product(id).value_or(storage::Product{});
  }

  TemporaryDirectory data_;
  TemporaryDirectory folder_;
  TestCatalog catalog_{6};
  TestEngine engine_{data_.path()};
};

TEST_F(UpdateFile, AddsAndChangesProducts) {
  const storage::Product before = product("p1");
  const UpsertReport report = upsert(
      "{\"id\": \"p1\", \"price\": 7}\n"
      "\n"
      "{\"id\": \"p2\", \"caption\": \"a blue coat\"}\n"
      "{\"id\": 8, \"image\": \"p0.png\", \"caption\": \"a red hat\", \"size\": [1, 2]}\n");
  EXPECT_EQ(report.created, 1U);
  EXPECT_EQ(report.changed, 2U);
  EXPECT_EQ(report.failed, 0U);
  EXPECT_EQ(report.sequence, 3U);
  EXPECT_EQ(product("p1").attributes, nlohmann::json({{"price", 7}}));
  EXPECT_EQ(product("p1").caption, before.caption);
  EXPECT_EQ(product("p1").image, before.image);
  EXPECT_EQ(product("p2").caption, "a blue coat");
  EXPECT_EQ(product("p2").attributes["colour"], "blue");
  EXPECT_EQ(product("8").attributes, nlohmann::json({{"size", {1, 2}}}));
  EXPECT_EQ(engine_->catalog("shop")->size(), 7U);
}

TEST_F(UpdateFile, ReadsEveryFormatAndAStream) {
  EXPECT_EQ(upsert("id,price\np0,1\np1,2\n", "a.csv").changed, 2U);
  EXPECT_EQ(upsert("[{\"id\": \"p2\", \"price\": 3}]", "a.json").changed, 1U);
  std::istringstream lines("{\"id\": \"p3\", \"price\": 4}\n{\"id\": \"p4\", \"price\": 5}");
  UpsertRequest request;
  request.catalog = "shop";
  request.file = "a pipe";
  request.lines = &lines;
  EXPECT_EQ(upsert_file(*engine_.engine, request).changed, 2U);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(product("p" + std::to_string(i)).attributes, nlohmann::json({{"price", i + 1}}));
  }
  std::istringstream broken("{\"id\": ");
  request.lines = &broken;
  const UpsertReport report = upsert_file(*engine_.engine, request);
  ASSERT_EQ(report.failures.size(), 1U);
  EXPECT_THAT(report.failures[0].reason, HasSubstr("a pipe, line 1"));
}

TEST_F(UpdateFile, ListsWhatCannotBeWrittenAndGoesOn) {
  std::string text;
  for (int i = 0; i < 700; ++i) {
    nlohmann::json record = {
        {"id", "n" + std::to_string(i)}, {"image", "p0.png"}, {"caption", "a red hat"}};
    if (i == 5) record["image"] = "none.png";
    if (i == 300) record.erase("caption");
    if (i == 699) record["image"] = "../outside.png";
    text += record.dump() + "\n";
  }
  text += "{\"id\": \"n1\", \"price\": 1}\nnot json\n{\"price\": 1}\n";
  const UpsertReport report = upsert(text);
  EXPECT_EQ(report.created, 697U);
  EXPECT_EQ(report.changed, 0U);
  EXPECT_EQ(report.failed, 6U);
  std::map<std::uint64_t, std::string> reasons;
  for (const FailedProduct& failure : report.failures) reasons[failure.record] = failure.reason;
  ASSERT_EQ(reasons.size(), 6U);
  EXPECT_THAT(reasons[6], HasSubstr("none.png"));
  EXPECT_THAT(reasons[301], HasSubstr("caption"));
  EXPECT_THAT(reasons[700], HasSubstr("outside.png"));
  EXPECT_THAT(reasons[701], HasSubstr("its id was used by an earlier record"));
  EXPECT_THAT(reasons[702], HasSubstr("line 702"));
  EXPECT_THAT(reasons[703], HasSubstr("id is missing"));
  EXPECT_EQ(engine_->catalog("shop")->size(), 6U + 697U);
}

TEST_F(UpdateFile, StrictStopsAtTheFirst) {
  const Thrown thrown = thrown_by([&] {
    upsert("{\"id\": \"p1\", \"price\": 1}\n{\"id\": \"p2\", \"image\": \"none.png\"}\n", "a.jsonl",
           true);
  });
  EXPECT_EQ(thrown.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(thrown.message, HasSubstr("record 2 (id \"p2\")"));
}

TEST_F(UpdateFile, OfNoCatalogIsAnError) {
  UpsertRequest request;
  request.catalog = "none";
  std::istringstream lines("{\"id\": \"p1\"}\n");
  request.lines = &lines;
  EXPECT_EQ(thrown_by([&] { upsert_file(*engine_.engine, request); }).code, ErrorCode::kNotFound);
  EXPECT_EQ(thrown_by([&] { upsert("", "empty.jsonl"); }).code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace vitrine::engine
