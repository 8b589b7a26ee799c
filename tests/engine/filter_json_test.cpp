#include "engine/filter/filter_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "base/json.h"
#include "engine/filter/known_fields.h"
#include "engine/filter/matches.h"
#include "support.h"

namespace vitrine::engine {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

Filter filter_of(const std::string& text) { return filter_from_json(parse_json(text, "the text")); }

bool passes(const std::string& filter, const json& attributes) {
  return matches(filter_of(filter), {"p1", "p1.png", "a product", attributes});
}

TEST(FilterJson, PrintsWhatItReadsAsTheSameFilter) {
  const char* filters[] = {
      "{}",
      R"({"must": [{"key": "a", "match": {"any": [true, 3, 2.5, "x"]}}]})",
      R"({"must_not": [{"key": "a.b", "match": {"except": ["x", "y"]}}]})",
      R"({"should": [{"key": "a", "range": {"gt": 0.1, "lte": 1e300}}, {"has_id": ["1", "2"]}]})",
      R"({"must": [{"key": "a", "is_empty": false}, {"key": "b", "is_null": true}]})",
      R"({"min_should": {"conditions": [{"must": [{"has_id": ["7"]}]}], "min_count": 1}})",
  };
  for (const char* filter : filters) {
    EXPECT_EQ(filter_json(filter_of(filter)), json::parse(filter));
    EXPECT_EQ(filter_json(filter_from_json(filter_json(filter_of(filter)))), json::parse(filter));
  }
  // What means the same is printed the same.
  EXPECT_EQ(
      filter_json(filter_of(R"({"must": {"key": "a", "match": {"value": 5}}, "should": []})")),
      filter_json(filter_of(R"({"must": [{"key": "a", "match": {"any": [5.0, 5]}}]})")));
}

TEST(FilterJson, NamesThePlaceOfWhatIsWrong) {
  struct Case {
    const char* filter;
    const char* place;
    const char* reason;
  };
  const Case cases[] = {
      {"[]", "filter", "is an array; it must be an object"},
      {R"({"mustt": []})", "filter", "unknown key \"mustt\""},
      {R"({"must": 1})", "filter.must", "is a number; it must be a list"},
      {R"({"must": [1]})", "filter.must[0]", "is a number; it must be a condition"},
      {R"({"must": [{}]})", "filter.must[0]", "is no condition"},
      {R"({"must": [{"must": [{"nested": {}}]}]})", "filter.must[0].must[0]", "is no condition"},
      {R"({"should": {"key": "a"}})", "filter.should", "exactly one of"},
      {R"({"must": [{"key": "a", "match": {"value": 1}, "range": {"gt": 1}}]})", "filter.must[0]",
       "exactly one of"},
      {R"({"must": [{"key": "a", "geo_radius": {}}]})", "filter.must[0]",
       "unknown key \"geo_radius\""},
      {R"({"must": [{"key": 5, "match": {"value": 1}}]})", "filter.must[0].key", "is a number"},
      {R"({"must": [{"key": "", "match": {"value": 1}}]})", "filter.must[0].key", "is empty"},
      {R"({"must": [{"key": "a", "match": 1}]})", "filter.must[0].match", "is a number"},
      {R"({"must": [{"key": "a", "match": {}}]})", "filter.must[0].match", "exactly one of"},
      {R"({"must": [{"key": "a", "match": {"text": "x"}}]})", "filter.must[0].match",
       "unknown key \"text\""},
      {R"({"must": [{"key": "a", "match": {"value": [1]}}]})", "filter.must[0].match.value",
       "is an array"},
      {R"({"must": [{"key": "a", "match": {"any": 1}}]})", "filter.must[0].match.any",
       "is a number"},
      {R"({"must_not": [{"key": "a", "match": {"except": ["x", {}]}}]})",
       "filter.must_not[0].match.except[1]", "is an object"},
      {R"({"must": [{"key": "a", "range": {}}]})", "filter.must[0].range", "at least one of"},
      {R"({"must": [{"key": "a", "range": {"gt": 1}}, {"key": "a", "range": {"gte": "5"}}]})",
       "filter.must[1].range.gte", "is a string; it must be a number"},
      {R"({"must": [{"is_empty": "a"}]})", "filter.must[0].is_empty", "is a string"},
      {R"({"must": [{"is_null": {"key": null}}]})", "filter.must[0].is_null", "must have the form"},
      {R"({"must": [{"is_null": {"key": "a"}, "key": "b"}]})", "filter.must[0].is_null",
       "is an object; it must be true or false"},
      {R"({"must": [{"has_id": "p1"}]})", "filter.must[0].has_id", "is a string"},
      {R"({"must": [{"has_id": ["p1", 1.5]}]})", "filter.must[0].has_id[1]", "is a number"},
      {R"({"min_should": {"conditions": []}})", "filter.min_should", "must have \"min_count\""},
      {R"({"min_should": {"conditions": [], "min_count": -1}})", "filter.min_should.min_count",
       "an integer from 0"},
  };
  for (const Case& test : cases) {
    const Thrown thrown = thrown_by([&] { filter_of(test.filter); });
    EXPECT_EQ(thrown.code, ErrorCode::kInvalidArgument) << test.filter;
    EXPECT_EQ(thrown.message.rfind(std::string(test.place) + " ", 0), 0U)
        << test.filter << ": " << thrown.message;
    EXPECT_THAT(thrown.message, HasSubstr(test.reason)) << test.filter;
  }
}

TEST(FilterJson, BoundsAFilter) {
  const auto message = [](const json& filter) {
    return thrown_by([&] { filter_from_json(filter); }).message;
  };
  json filter = {{"must", {{{"has_id", {"p1"}}}}}};
  for (int depth = 1; depth < kMaxFilterDepth; ++depth) filter = {{"must", {filter}}};
  EXPECT_NO_THROW(filter_from_json(filter));
  for (int depth = kMaxFilterDepth; depth < 1000; ++depth) {
    json outer;
    outer["must"] = std::move(filter);
    filter = std::move(outer);
  }
  EXPECT_THAT(message(filter), HasSubstr("nested too deep"));
  EXPECT_THAT(thrown_by([&] { parse_json(filter.dump(), "the filter"); }).message,
              HasSubstr("nested more than 32 levels deep"));

  const json condition = {{"key", "a"}, {"match", {{"value", 1}}}};
  filter = {{"must", json(kMaxFilterConditions, condition)}};
  EXPECT_NO_THROW(filter_from_json(filter));
  filter["should"] = condition;
  EXPECT_THAT(message(filter), HasSubstr("one condition too many"));

  const auto any = [](std::size_t count) {
    return json{{"must", {{{"key", "a"}, {"match", {{"any", json(count, 1)}}}}}}};
  };
  EXPECT_NO_THROW(filter_from_json(any(kMaxFilterValues)));
  EXPECT_THAT(message(any(kMaxFilterValues + 1)),
              HasSubstr("filter.must[0].match.any[10000] is one value too many"));

  const auto value = [](std::size_t bytes) {
    return json{{"must", {{{"key", "a"}, {"match", {{"value", std::string(bytes, 'x')}}}}}}};
  };
  EXPECT_NO_THROW(filter_from_json(value(kMaxFilterTextBytes)));
  EXPECT_THAT(message(value(kMaxFilterTextBytes + 1)),
              HasSubstr("filter.must[0].match.value has 513 bytes"));
  const json key = {
      {"must", {{{"key", std::string(kMaxFieldPathBytes + 1, 'k')}, {"match", {{"value", 1}}}}}}};
  EXPECT_THAT(message(key), HasSubstr("filter.must[0].key has 257 bytes"));
}

TEST(Matches, FollowsTheClauses) {
  const json red = {{"colour", "red"}, {"size", 38}};
  EXPECT_TRUE(passes("{}", red));
  EXPECT_TRUE(passes(R"({"must": null, "should": [], "must_not": []})", red));
  EXPECT_TRUE(passes(R"({"must": {"key": "colour", "match": {"value": "red"}}})", red));
  const std::string is_red = R"({"key": "colour", "match": {"value": "red"}})";
  const std::string is_40 = R"({"key": "size", "match": {"value": 40}})";
  EXPECT_FALSE(passes("{\"must\": [" + is_red + "," + is_40 + "]}", red));
  EXPECT_TRUE(passes("{\"should\": [" + is_red + "," + is_40 + "]}", red));
  EXPECT_FALSE(passes("{\"must_not\": [" + is_red + "," + is_40 + "]}", red));
  EXPECT_TRUE(passes("{\"must_not\": [" + is_40 + "]}", red));
  EXPECT_TRUE(passes("{\"must\": [{\"must_not\": [" + is_40 + "]}, " + is_red + "]}", red));
  const auto at_least = [&](int count) {
    return "{\"min_should\": {\"conditions\": [" + is_red + "," + is_40 + "," + is_red +
           "], \"min_count\": " + std::to_string(count) + "}}";
  };
  EXPECT_TRUE(passes(at_least(0), red));
  EXPECT_TRUE(passes(at_least(2), red));
  EXPECT_FALSE(passes(at_least(3), red));
}

TEST(Matches, ComparesScalarsAndTheElementsOfLists) {
  const auto match = [](const char* condition, const json& value) {
    return passes(std::string(R"({"must": [{"key": "a", "match": )") + condition + "}]}",
                  {{"a", value}});
  };
  EXPECT_TRUE(match(R"({"value": "x"})", "x"));
  EXPECT_FALSE(match(R"({"value": "x"})", "X"));
  EXPECT_TRUE(match(R"({"value": "x"})", {"y", "x"}));
  EXPECT_FALSE(match(R"({"value": "x"})", {"y", json::array({"x"})}));
  EXPECT_TRUE(match(R"({"value": 5})", 5.0));
  EXPECT_TRUE(match(R"({"value": 5.0})", 5));
  EXPECT_FALSE(match(R"({"value": 5})", "5"));
  EXPECT_FALSE(match(R"({"value": 1})", true));
  EXPECT_TRUE(match(R"({"value": true})", true));
  EXPECT_FALSE(match(R"({"value": 9007199254740993})", 9007199254740992));
  EXPECT_TRUE(match(R"({"value": 18446744073709551615})", 18446744073709551615U));
  EXPECT_TRUE(match(R"({"any": ["y", 7, false]})", 7));
  EXPECT_FALSE(match(R"({"any": []})", 7));
  EXPECT_FALSE(match(R"({"any": ["y"]})", nullptr));
  // As Qdrant has it: a list passes when one of its elements is not listed.
  EXPECT_TRUE(match(R"({"except": ["black", "yellow"]})", {"black", "green"}));
  EXPECT_FALSE(match(R"({"except": ["black", "yellow"]})", {"black", "yellow"}));
  EXPECT_TRUE(match(R"({"except": ["black"]})", 5));
  EXPECT_FALSE(match(R"({"except": ["black"]})", nullptr));
  EXPECT_FALSE(match(R"({"except": ["black"]})", json::array()));
  EXPECT_TRUE(match(R"({"except": []})", std::string(1000, 'x')));
}

TEST(Matches, ComparesNumbersAndTextsThatAreNumbers) {
  const auto range = [](const char* condition, const json& value) {
    return passes(std::string(R"({"must": [{"key": "a", "range": )") + condition + "}]}",
                  {{"a", value}});
  };
  EXPECT_TRUE(range(R"({"gte": 10, "lt": 20})", 10));
  EXPECT_FALSE(range(R"({"gte": 10, "lt": 20})", 20));
  EXPECT_FALSE(range(R"({"gt": 10})", 10));
  EXPECT_TRUE(range(R"({"lte": 10.5})", 10.5));
  EXPECT_TRUE(range(R"({"gt": 10})", {3, 11}));
  EXPECT_FALSE(range(R"({"gt": 10, "lt": 12})", {3, 14}));
  EXPECT_TRUE(range(R"({"gt": 10})", "12.50"));  // as CSV has it
  EXPECT_TRUE(range(R"({"lt": 0})", "-1e3"));
  for (const char* text : {"", "-", "12 EUR", " 12", "inf", "-nan", "0x10", "1e999", "."}) {
    EXPECT_FALSE(range(R"({"gt": -1e300})", text)) << text;
  }
  EXPECT_FALSE(range(R"({"gte": 0})", true));
}

TEST(Matches, TellsEmptyFromNullAsQdrantDoes) {
  const json attributes = {{"null", nullptr},
                           {"none", json::array()},
                           {"nulls", {nullptr}},
                           {"object", json::object()},
                           {"text", ""}};
  const auto holds = [&](const char* key, const char* state) {
    const std::string name = std::string("{\"key\": \"") + key + "\"}";
    const bool bare =
        passes(std::string("{\"must\": [{\"") + state + "\": " + name + "}]}", attributes);
    for (const bool wanted : {true, false}) {
      EXPECT_EQ(passes(std::string("{\"must\": [{\"key\": \"") + key + "\", \"" + state +
                           "\": " + (wanted ? "true" : "false") + "}]}",
                       attributes),
                bare == wanted);
    }
    return bare;
  };
  EXPECT_TRUE(holds("null", "is_empty"));
  EXPECT_TRUE(holds("none", "is_empty"));
  EXPECT_TRUE(holds("absent", "is_empty"));
  EXPECT_FALSE(holds("nulls", "is_empty"));
  EXPECT_FALSE(holds("object", "is_empty"));
  EXPECT_FALSE(holds("text", "is_empty"));
  EXPECT_TRUE(holds("null", "is_null"));
  EXPECT_FALSE(holds("none", "is_null"));
  EXPECT_FALSE(holds("absent", "is_null"));
  EXPECT_FALSE(holds("nulls", "is_null"));
}

TEST(Matches, FollowsPathsIntoObjects) {
  const char* filter = R"({"must": [{"key": "size.eu", "match": {"value": 38}}]})";
  EXPECT_TRUE(passes(filter, {{"size", {{"eu", 38}}}}));
  EXPECT_TRUE(passes(filter, {{"size.eu", 38}}));
  EXPECT_TRUE(passes(filter, {{"size.eu", 40}, {"size", {{"eu", {36, 38}}}}}));
  EXPECT_FALSE(passes(filter, {{"size", {{"us", 38}}}, {"eu", 38}}));
  EXPECT_FALSE(passes(filter, {{"size", json::array({{{"eu", 38}}})}}));
  EXPECT_TRUE(passes(R"({"must": [{"has_id": ["p0", "p1"]}]})", {}));
  EXPECT_FALSE(passes(R"({"must": [{"has_id": ["p0", 1]}]})", {}));
}

TEST(KnownFields, RefusesWhatCanOnlyBeAMistake) {
  KnownFields fields;
  fields.add(json{{"colour", "red"}, {"price", 5}, {"size", {{"eu", 38}}}, {"old", nullptr}});
  fields.add(json{{"price", "7.50"}, {"sale", true}});
  const auto message = [&](const char* filter) {
    return thrown_by([&] { fields.check(filter_of(filter), "shop"); }).message;
  };
  EXPECT_EQ(message(R"({"must": [{"must_not": [{"key": "color", "match": {"value": "red"}}]}]})"),
            "filter.must[0].must_not[0].match: no product of catalog shop has a field \"color\"; "
            "they have \"colour\", \"old\", \"price\", \"sale\", \"size\", \"size.eu\"");
  EXPECT_THAT(message(R"({"must": [{"is_empty": {"key": "colours"}}]})"),
              HasSubstr("filter.must[0].is_empty: no product"));
  EXPECT_EQ(message(R"({"should": [{"key": "colour", "match": {"any": ["red", 5]}}]})"),
            "filter.should[0].match asks for a number, but the field \"colour\" of catalog shop "
            "has texts");
  EXPECT_THAT(message(R"({"must": [{"key": "size", "match": {"value": 38}}]})"),
              HasSubstr("has objects"));
  EXPECT_THAT(message(R"({"must": [{"key": "old", "match": {"value": 38}}]})"),
              HasSubstr("has no value"));
  EXPECT_THAT(message(R"({"must": [{"key": "colour", "range": {"gt": 1}}]})"),
              HasSubstr("needs numbers, but the field \"colour\""));
  EXPECT_NO_THROW(fields.check(filter_of(R"({"must": [{"key": "price", "range": {"gt": 1}},
      {"key": "price", "match": {"any": [5, "7.50"]}}, {"key": "sale", "match": {"value": true}},
      {"key": "size.eu", "is_empty": false}, {"has_id": ["unknown"]}]})"),
                               "shop"));
}

}  // namespace
}  // namespace vitrine::engine
