#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "base/base64.h"
#include "engine/zero_shot.h"
#include "http/endpoints/endpoints.h"
#include "http/problem.h"
#include "http/routes.h"
#include "index/vector_index.h"
#include "test_server.h"

namespace vitrine::http {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Headers kForm = {{"Content-Type", "multipart/form-data; boundary=XX"}};

std::vector<std::string> ids_of(const json& answer) {
  std::vector<std::string> ids;
  for (const json& hit : answer.at("hits")) ids.push_back(hit.at("id"));
  return ids;
}

/// Checks that the answer is a complete problem; returns its detail.
std::string problem_detail(const Answer& answer, int status) {
  EXPECT_EQ(answer.status, status) << answer.body.substr(0, 500);
  EXPECT_EQ(answer.header("content-type"), "application/problem+json");
  const json body = answer.json();
  EXPECT_EQ(body.value("status", 0), status);
  EXPECT_TRUE(body.contains("type") && body.contains("title"));
  EXPECT_EQ(body.value("request_id", ""), answer.header("x-request-id"));
  return body.value("detail", "");
}

class EveryIndexKind : public testing::TestWithParam<std::string> {};

TEST_P(EveryIndexKind, AnswersTextImageAndProductSearches) {
  TestServer server({}, GetParam());
  for (const bool exact : {false, true}) {
    const Answer answer = server.post_json("/v1/catalogs/shop/search", {{"text", "a red shirt"},
                                                                        {"limit", 3},
                                                                        {"exact", exact},
                                                                        {"nprobe", 100},
                                                                        {"ef_search", 100}});
    ASSERT_EQ(answer.status, 200) << answer.body;
    const json body = answer.json();
    EXPECT_EQ(body["index"], GetParam());
    EXPECT_EQ(body["exact"], exact || GetParam() == "flat");
    ASSERT_EQ(body["hits"].size(), 3U);
    for (const json& hit : body["hits"]) {
      EXPECT_EQ(hit["caption"], "a red shirt");
      EXPECT_EQ(hit["attributes"]["colour"], "red");
      EXPECT_EQ(hit["image_url"],
                "/v1/catalogs/shop/products/" + hit["id"].get<std::string>() + "/image");
      EXPECT_TRUE(hit["score"].is_number());
    }
    for (const char* part : {"encode", "search", "total"}) {
      EXPECT_TRUE(body["timings_ms"][part].is_number());
    }
  }
  const std::string image = engine::colour_png("blue", 77);
  const Answer by_image =
      server.post_json("/v1/catalogs/shop/search", {{"image", encode_base64(image)}, {"limit", 1}});
  ASSERT_EQ(by_image.status, 200) << by_image.body;
  EXPECT_EQ(by_image.json()["hits"][0]["attributes"]["colour"], "blue");

  const Answer by_product =
      server.post_json("/v1/catalogs/shop/search", {{"product_id", "p1"}, {"limit", 2}});
  ASSERT_EQ(by_product.status, 200) << by_product.body;
  EXPECT_THAT(ids_of(by_product.json()), testing::UnorderedElementsAre("p5", "p9"));
}

INSTANTIATE_TEST_SUITE_P(Registry, EveryIndexKind, testing::ValuesIn(index::index_kinds()),
                         [](const auto& kind) { return kind.param; });

class Endpoints : public testing::Test {
 protected:
  /// The job at a path once it has ended.
  json await_job(const std::string& location) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    json job;
    do {
      job = server.get(location).json();
      std::this_thread::yield();
    } while (job["state"] == "running" && std::chrono::steady_clock::now() < deadline);
    return job;
  }

  TestServer server;
};

TEST_F(Endpoints, SearchTakesAnUploadedImageWithFields) {
  const Answer answer =
      server.request("POST", "/v1/catalogs/shop/search",
                     multipart_body({{"limit", "2"}, {"exact", "true"}, {"target", "image"}},
                                    engine::colour_png("green", 5)),
                     kForm);
  ASSERT_EQ(answer.status, 200) << answer.body;
  const json body = answer.json();
  ASSERT_EQ(body["hits"].size(), 2U);
  EXPECT_EQ(body["hits"][0]["attributes"]["colour"], "green");
}

TEST_F(Endpoints, BatchAnswersItsSearchesInOrder) {
  const char* target = "/v1/catalogs/shop/search/batch";
  const json filter = {{"must", {{{"key", "colour"}, {"match", {{"value", "green"}}}}}}};
  const json searches = {{{"text", "red"}, {"limit", 2}},
                         {{"text", "blue"}, {"limit", 2}},
                         {{"text", "blue"}, {"limit", 2}, {"filter", filter}},
                         {{"product_id", "p1"}, {"limit", 3}, {"facets", {"colour"}}},
                         {{"text", "red"}, {"limit", 2}, {"filter", filter}},
                         {{"query", {{{"text", "red"}}, {{"text", "green"}}}}}};
  const Answer answer = server.post_json(target, {{"searches", searches}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  const json body = answer.json();
  EXPECT_EQ(body["catalog"], "shop");
  ASSERT_EQ(body["results"].size(), searches.size());
  for (std::size_t i = 0; i < searches.size(); ++i) {
    json alone = server.post_json("/v1/catalogs/shop/search", searches[i]).json();
    json result = body["results"][i];
    EXPECT_TRUE(result["timings_ms"]["search"].is_number());
    EXPECT_EQ(ids_of(result), ids_of(alone)) << i;
    for (json* one : {&alone, &result}) {
      one->erase("timings_ms");
      one->erase("hits");  // scores may be rounded differently
      one->erase("next_cursor");
    }
    EXPECT_EQ(result, alone) << i;
  }
}

TEST_F(Endpoints, BatchHasTheProblemOfAFailedSearchInItsPlace) {
  const char* target = "/v1/catalogs/shop/search/batch";
  const Answer answer = server.post_json(target, {{"searches",
                                                   {{{"text", "red"}},
                                                    {{"txet", "red"}},
                                                    {{"product_id", "nope"}},
                                                    7,
                                                    {{"text", "red"}, {"cursor", "x"}},
                                                    {{"text", "blue"}}}}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  const json results = answer.json()["results"];
  ASSERT_EQ(results.size(), 6U);
  EXPECT_FALSE(results[0]["hits"].empty());
  EXPECT_FALSE(results[5]["hits"].empty());
  for (const std::size_t i : {1, 2, 3, 4}) {
    EXPECT_EQ(results[i].size(), 1U) << results[i];
    EXPECT_EQ(results[i]["problem"]["status"], i == 2 ? 404 : 400);
    EXPECT_FALSE(results[i]["problem"]["request_id"].get<std::string>().empty());
  }
  EXPECT_THAT(results[1]["problem"]["detail"].get<std::string>(),
              AllOf(HasSubstr("txet"), HasSubstr("\"searches\"[1]")));
  EXPECT_EQ(results[2]["problem"]["type"], "urn:vitrine:problem:not_found");
  EXPECT_THAT(results[3]["problem"]["detail"].get<std::string>(), HasSubstr("a number"));
}

TEST_F(Endpoints, BatchIsRefusedAsAWholeWhenItIsNone) {
  const char* target = "/v1/catalogs/shop/search/batch";
  const json many(engine::kMaxBatchSearches + 1, json{{"text", "red"}});
  for (const json& body : {json::object(), json{{"searches", json::array()}},
                           json{{"searches", "red"}}, json{{"searches", many}}}) {
    EXPECT_THAT(problem_detail(server.post_json(target, body), 400),
                HasSubstr("an array of 1 to 100"));
  }
  EXPECT_THAT(problem_detail(server.post_json(target, {{"searches", {1}}, {"limit", 3}}), 400),
              HasSubstr("limit"));
  const json large(11, json{{"text", "red"}, {"limit", 1000}});
  EXPECT_THAT(problem_detail(server.post_json(target, {{"searches", large}}), 400),
              HasSubstr("11000 hits together; at most 10000"));
  EXPECT_THAT(problem_detail(server.post_json("/v1/catalogs/none/search/batch",
                                              {{"searches", {{{"text", "red"}}}}}),
                             404),
              HasSubstr("none"));
}

TEST_F(Endpoints, SearchFiltersAndCountsAttributes) {
  const json filter = {{"must", {{{"key", "colour"}, {"match", {{"any", {"green", "blue"}}}}}}},
                       {"must_not", {{{"has_id", {"p1"}}}}}};
  const json plain = server.post_json("/v1/catalogs/shop/search", {{"text", "red"}}).json();
  EXPECT_FALSE(plain.contains("matching"));
  EXPECT_FALSE(plain.contains("facets"));
  const Answer answer = server.post_json(
      "/v1/catalogs/shop/search",
      {{"text", "red"}, {"limit", 100}, {"filter", filter}, {"facets", {"colour"}}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  const json body = answer.json();
  EXPECT_GT(body["matching"], 0);
  EXPECT_EQ(body["hits"].size(), body["matching"]);
  int green = 0;
  for (const json& hit : body["hits"]) {
    EXPECT_THAT(hit["attributes"]["colour"], testing::AnyOf("green", "blue"));
    EXPECT_NE(hit["id"], "p1");
    green += hit["attributes"]["colour"] == "green" ? 1 : 0;
  }
  EXPECT_THAT(body["facets"]["colour"],
              testing::Contains(json{{"value", "green"}, {"count", green}}));

  const Answer form = server.request(
      "POST", "/v1/catalogs/shop/search",
      multipart_body({{"filter", filter.dump()}, {"limit", "100"}, {"facets", "[\"colour\"]"}},
                     engine::colour_png("green", 5)),
      kForm);
  ASSERT_EQ(form.status, 200) << form.body;
  EXPECT_EQ(form.json()["matching"], body["matching"]);
  EXPECT_EQ(form.json()["facets"], body["facets"]);
}

TEST_F(Endpoints, FormsTakeTheirJsonAsFilesOfItsType) {
  const std::string image = engine::colour_png("green", 5);
  const auto search = [&](const std::string& part) {
    return server.request("POST", "/v1/catalogs/shop/search", part + multipart_body({}, image),
                          kForm);
  };
  const std::string filter = R"({"must": [{"has_id": ["p1"]}]})";
  const Answer found = search(blob_part("filter", "application/json", filter));
  ASSERT_EQ(found.status, 200) << found.body;
  EXPECT_EQ(found.json()["matching"], 1);
  for (const std::string& part :
       {blob_part("filter", "text/plain", filter), blob_part("limit", "application/json", "3")}) {
    EXPECT_THAT(problem_detail(search(part), 400), HasSubstr("is a file")) << part;
  }
  const Answer labels = server.request(
      "POST", "/v1/classify",
      blob_part("labels", "application/json", R"(["red", "green"])") + multipart_body({}, image),
      kForm);
  EXPECT_EQ(labels.status, 200) << labels.body;
}

TEST_F(Endpoints, SearchNamesThePlaceOfABadFilter) {
  const auto detail = [&](const json& extra) {
    json request = {{"text", "red"}};
    request.update(extra);
    return problem_detail(server.post_json("/v1/catalogs/shop/search", request), 400);
  };
  EXPECT_THAT(detail({{"filter", {{"must", {{{"key", "colour"}, {"range", {{"gte", "5"}}}}}}}}}),
              HasSubstr("filter.must[0].range.gte is a string"));
  EXPECT_THAT(detail({{"filter", {{"must", {{{"key", "color"}, {"match", {{"value", "red"}}}}}}}}}),
              HasSubstr("has a field \"color\"; they have \"colour\""));
  EXPECT_THAT(detail({{"filter", "red"}}), HasSubstr("filter is a string"));
  EXPECT_THAT(detail({{"facets", "colour"}}), HasSubstr("\"facets\""));
  json deep = {{"has_id", {"p1"}}};
  for (int depth = 0; depth < 1000; ++depth) {
    json outer;
    outer["must"] = std::move(deep);
    deep = std::move(outer);
  }
  EXPECT_THAT(detail({{"filter", deep}}), HasSubstr("nested more than"));
  EXPECT_THAT(
      problem_detail(
          server.request("POST", "/v1/catalogs/shop/search",
                         multipart_body({{"filter", "{"}}, engine::colour_png("green", 5)), kForm),
          400),
      HasSubstr("the form field \"filter\" is not valid JSON"));
}

TEST_F(Endpoints, SearchTakesDataUrlsAndCaptionTargets) {
  const std::string url = "data:image/png;base64," + encode_base64(engine::colour_png("red", 3));
  EXPECT_EQ(server.post_json("/v1/catalogs/shop/search", {{"image", url}}).status, 200);
  const Answer captions = server.post_json(
      "/v1/catalogs/shop/search", {{"text", "green"}, {"target", "caption"}, {"limit", 1}});
  EXPECT_EQ(captions.json()["hits"][0]["attributes"]["colour"], "green");
}

TEST_F(Endpoints, SearchTakesALimitThatIsWrittenWithAFraction) {
  const Answer answer =
      server.post_json("/v1/catalogs/shop/search", {{"text", "red"}, {"limit", 2.0}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.json()["hits"].size(), 2U);
}

TEST_F(Endpoints, SearchSaysWhatIsWrongAndWhatWouldBeRight) {
  const std::pair<json, std::string> bad[] = {
      {{{"text", "x"}, {"limit", 0}},
       "\"limit\" of the search request is 0; it must be an integer"},
      {{{"text", "x"}, {"limit", 1000000}}, "from 1 to 1000"},
      {{{"text", "x"}, {"limit", "10"}}, "\"limit\""},
      {{{"text", "x"}, {"limit", 1.5}}, "\"limit\""},
      {{{"text", "x"}, {"limt", 10}}, "\"limt\""},
      {{{"text", "x"}, {"target", "all"}}, "\"caption\" or \"both\""},
      {{{"text", "x"}, {"caption_weight", 0.5}}, "\"target\": \"both\""},
      {{{"text", "x"}, {"target", "both"}, {"caption_weight", 2}}, "caption_weight 2"},
      {{{"text", "x"}, {"min_score", "high"}}, "\"min_score\""},
      {{{"text", "x"}, {"group_by", std::string(300, 'a')}}, "group_by has 300 bytes"},
      {{{"text", "x"}, {"group_by", "color"}},
       "group_by: no product of catalog shop has a field \"color\""},
      {{{"text", "x"}, {"cursor", "7"}}, "\"next_cursor\""},
      {{{"text", "x"}, {"nprobe", 0}}, "\"nprobe\""},
      {{{"text", "x"}, {"ef_search", -1}}, "\"ef_search\""},
      {{{"text", "x"}, {"rescore", 101}}, "\"rescore\""},
      {{{"text", "x"}, {"exact", 1}}, "\"exact\""},
      {{{"text", 7}}, "\"text\" of the search request is a number; it must be a string"},
      {{{"text", " "}}, ""},
      {{{"text", "x"}, {"product_id", "p1"}}, "exactly one"},
      {json::object(), "exactly one"},
      {json::array(), "must be a JSON object"},
      {{{"image", "!!!!"}}, "not base64"},
      {{{"image", ""}}, "\"image\" is empty"},
      {{{"image", "Zm9vYmFy"}}, ""},
      {{{"image", "data:text/plain,hello"}}, "data:image/png;base64"}};
  for (const auto& [body, wanted] : bad) {
    EXPECT_THAT(problem_detail(server.post_json("/v1/catalogs/shop/search", body), 400),
                HasSubstr(wanted))
        << body;
  }
}

TEST_F(Endpoints, SearchRefusesMalformedBodiesAndOtherTypes) {
  const Headers as_json = {{"Content-Type", "application/json; charset=utf-8"}};
  const char* target = "/v1/catalogs/shop/search";
  EXPECT_EQ(server.request("POST", target, "{\"text\":\"red\"}", as_json).status, 200);
  EXPECT_THAT(problem_detail(server.request("POST", target, "{\"text\":", as_json), 400),
              HasSubstr("not valid JSON"));
  EXPECT_THAT(problem_detail(server.request("POST", target, "{\"text\":\"\xff\"}", as_json), 400),
              HasSubstr("UTF-8"));
  EXPECT_THAT(problem_detail(server.request("POST", target, "", as_json), 400),
              HasSubstr("not valid JSON"));
  EXPECT_THAT(
      problem_detail(server.request("POST", target, "text=red",
                                    {{"Content-Type", "application/x-www-form-urlencoded"}}),
                     415),
      HasSubstr("application/json"));
  problem_detail(server.request("POST", target, "{}"), 415);
  EXPECT_THAT(problem_detail(server.request("POST", target, "--YY", kForm), 400),
              HasSubstr("boundary"));
  EXPECT_THAT(
      problem_detail(
          server.request("POST", target, multipart_body({{"limit", "many"}, {"text", "x"}}), kForm),
          400),
      HasSubstr("\"limit\""));
  problem_detail(server.request("POST", target, multipart_body({{"image", ""}}), kForm), 400);
  EXPECT_THAT(problem_detail(
                  server.request("POST", target, multipart_body({{"text", "\xff"}}), kForm), 400),
              HasSubstr("UTF-8"));
}

TEST_F(Endpoints, UnknownCatalogsAndProductsAreNotFound) {
  EXPECT_THAT(problem_detail(server.post_json("/v1/catalogs/none/search", {{"text", "x"}}), 404),
              HasSubstr("none"));
  problem_detail(server.post_json("/v1/catalogs/shop/search", {{"product_id", "nope"}}), 404);
  problem_detail(server.get("/v1/catalogs/none"), 404);
  problem_detail(server.get("/v1/catalogs/none/products/p1"), 404);
  problem_detail(server.get("/v1/catalogs/shop/products/nope"), 404);
  problem_detail(server.get("/v1/catalogs/shop/products/nope/image"), 404);
  problem_detail(server.get("/v1/admin/jobs/nope"), 404);
}

TEST_F(Endpoints, ClassifyGivesProbabilities) {
  const json labels = {"red", "green", "blue"};
  const Answer by_product = server.post_json(
      "/v1/classify", {{"catalog", "shop"}, {"product_id", "p1"}, {"labels", labels}});
  ASSERT_EQ(by_product.status, 200) << by_product.body;
  const json scores = by_product.json()["labels"];
  ASSERT_EQ(scores.size(), 3U);
  EXPECT_EQ(scores[0]["label"], "green");
  double sum = 0;
  for (const json& score : scores) sum += score["probability"].get<double>();
  EXPECT_NEAR(sum, 1, 1e-5);

  const Answer by_image =
      server.post_json("/v1/classify", {{"image", encode_base64(engine::colour_png("blue", 9))},
                                        {"labels", labels},
                                        {"prompt_template", "something {}"}});
  EXPECT_EQ(by_image.json()["labels"][0]["label"], "blue");
}

TEST_F(Endpoints, ClassifyRefusesIncompleteRequests) {
  const json labels = {"red", "green"};
  for (const json& body :
       {json{{"labels", labels}}, json{{"catalog", "shop"}, {"labels", labels}},
        json{{"catalog", "shop"}, {"product_id", "p1"}},
        json{{"catalog", "shop"}, {"product_id", "p1"}, {"labels", json::array()}},
        json{{"catalog", "shop"}, {"product_id", "p1"}, {"labels", "red"}},
        json{{"catalog", "shop"}, {"product_id", "p1"}, {"labels", {"red", "red"}}},
        json{{"catalog", "shop"},
             {"product_id", "p1"},
             {"labels", labels},
             {"prompt_template", "x"}},
        json{{"catalog", "shop"}, {"product_id", "p1"}, {"labels", labels}, {"image", "Zm9v"}}}) {
    problem_detail(server.post_json("/v1/classify", body), 400);
  }
}

TEST_F(Endpoints, ClassifyTakesAForm) {
  const std::string image = engine::colour_png("blue", 9);
  const json by_json = server
                           .post_json("/v1/classify", {{"image", encode_base64(image)},
                                                       {"labels", {"red", "green", "blue"}},
                                                       {"prompt_template", "something {}"}})
                           .json();
  const Answer by_form = server.request(
      "POST", "/v1/classify",
      multipart_body(
          {{"labels", R"(["red", "green", "blue"])"}, {"prompt_template", "something {}"}}, image),
      kForm);
  ASSERT_EQ(by_form.status, 200) << by_form.body;
  EXPECT_EQ(by_form.json()["labels"], by_json["labels"]);
  EXPECT_EQ(by_json["labels"][0]["label"], "blue");
  const Answer by_product = server.request(
      "POST", "/v1/classify",
      multipart_body({{"catalog", "shop"}, {"product_id", "p1"}, {"labels", R"(["green"])"}}),
      kForm);
  EXPECT_EQ(by_product.status, 200) << by_product.body;
}

TEST_F(Endpoints, ClassifySaysWhatIsWrongWithAForm) {
  const std::string image = engine::colour_png("blue", 9);
  using Fields = std::vector<std::pair<std::string, std::string>>;
  const auto detail = [&](const Fields& fields, const std::string& file) {
    return problem_detail(
        server.request("POST", "/v1/classify", multipart_body(fields, file), kForm), 400);
  };
  const std::pair<std::string, std::string> labels = {"labels", R"(["red", "blue"])"};
  EXPECT_THAT(detail({{"labels", "red,blue"}}, image),
              HasSubstr("the form field \"labels\" is not valid JSON"));
  EXPECT_THAT(detail({{"labels", "\"red\""}}, image), HasSubstr("an array of strings"));
  EXPECT_THAT(detail({}, image), HasSubstr("has no \"labels\""));
  EXPECT_THAT(detail({labels}, ""), HasSubstr("either \"image\""));
  EXPECT_THAT(detail({labels, {"catalog", "shop"}, {"product_id", "p1"}}, image),
              HasSubstr("either \"image\""));
  EXPECT_THAT(detail({labels, {"image", ""}}, ""), HasSubstr("\"image\" is empty"));
  EXPECT_THAT(detail({labels, {"prompt_template", "x"}}, image), HasSubstr("{}"));
  EXPECT_THAT(detail({labels, {"prompt_template", "\xff"}}, image), HasSubstr("UTF-8"));
  EXPECT_THAT(detail({labels, {"template", "a {}"}}, image), HasSubstr("\"template\""));
  detail({labels}, "not an image");
  EXPECT_THAT(problem_detail(server.request("POST", "/v1/classify", "labels=red",
                                            {{"Content-Type", "text/plain"}}),
                             415),
              HasSubstr("multipart/form-data"));
}

TEST_F(Endpoints, CombineTheTermsOfAQuery) {
  const auto search = [&](const json& body) {
    return server.post_json("/v1/catalogs/shop/search", body);
  };
  const json both = search({{"query",
                             {{{"text", "red"}, {"weight", 2}},
                              {{"product_id", "p1"}, {"weight", -0.5}},
                              {{"vector", {1, 0, 0, 0, 0, 0, 0, 0.5}}}}},
                            {"limit", 3}})
                        .json();
  ASSERT_EQ(both["hits"].size(), 3U);
  EXPECT_EQ(both["texts"], json::array({{{"tokens", 3}, {"truncated", false}}}));
  EXPECT_FALSE(both.contains("text"));
  for (const json& hit : both["hits"]) EXPECT_NE(hit["id"], "p1");
  EXPECT_EQ(search({{"query", {{{"text", "red"}}}}}).json()["hits"],
            search({{"text", "red"}}).json()["hits"]);

  json page = search({{"text", "red"}, {"target", "both"}, {"limit", 2}}).json();
  ASSERT_EQ(page["hits"].size(), 2U);
  const json rest =
      search(
          {{"text", "red"}, {"target", "both"}, {"limit", 1000}, {"cursor", page["next_cursor"]}})
          .json();
  EXPECT_FALSE(rest.contains("next_cursor"));
  for (const json& hit : rest["hits"]) {
    EXPECT_NE(hit["id"], page["hits"][0]["id"]);
    EXPECT_NE(hit["id"], page["hits"][1]["id"]);
  }

  const std::vector<std::pair<json, std::string>> cases = {
      {{{"query", json::array()}}, "1 to 16 terms"},
      {{{"query", "red"}}, "1 to 16 terms"},
      {{{"query", {"red"}}}, "\"query\"[0]"},
      {{{"query", {{{"text", "red"}, {"product_id", "p1"}}}}}, "exactly one"},
      {{{"query", {{{"text", "red"}, {"weight", "much"}}}}}, "\"weight\" of \"query\"[0]"},
      {{{"query", {{{"text", "red"}, {"weight", 0}}}}}, "weight 0"},
      {{{"query", {{{"text", "red"}, {"wight", 1}}}}}, "\"wight\""},
      {{{"query", {{{"vector", {1, "a"}}}}}}, "\"query\"[0].vector[1]"},
      {{{"query", {{{"vector", {1, 2}}}}}}, "has 2 values; the embeddings have 8"},
      {{{"query", {{{"vector", {1e300, 0, 0, 0, 0, 0, 0, 0}}}}}}, "not finite"},
      {{{"query", {{{"text", "red"}}}}, {"text", "red"}}, "exactly one"}};
  for (const auto& [body, problem] : cases) {
    EXPECT_THAT(problem_detail(search(body), 400), HasSubstr(problem)) << body;
  }
}

TEST_F(Endpoints, CompareHitsWithTheExactOnes) {
  const Answer plain = server.post_json("/v1/catalogs/shop/search", {{"text", "red"}});
  EXPECT_FALSE(plain.json().contains("comparison"));
  const Answer by_json =
      server.post_json("/v1/catalogs/shop/search", {{"text", "red"}, {"compare", true}});
  const Answer by_form =
      server.request("POST", "/v1/catalogs/shop/search",
                     multipart_body({{"text", "red"}, {"compare", "true"}}), kForm);
  for (const Answer& answer : {by_json, by_form}) {
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.json()["hits"], plain.json()["hits"]);
    const json comparison = answer.json()["comparison"];
    EXPECT_EQ(comparison["recall"], 1);  // the index is flat
    EXPECT_EQ(comparison["exact_hits"], plain.json()["hits"].size());
    EXPECT_EQ(comparison["missed"], json::array());
    EXPECT_GE(comparison["timings_ms"]["exact"], 0);
  }
  EXPECT_THAT(
      problem_detail(
          server.post_json("/v1/catalogs/shop/search", {{"text", "red"}, {"compare", "yes"}}), 400),
      HasSubstr("\"compare\""));
}

TEST_F(Endpoints, TellWhetherATextWasCut) {
  const auto context = engine::ColourEncoder::kContextLength;
  const std::string long_text = "red " + std::string(context, 'x');
  const json cut = {{"tokens", context}, {"truncated", true}};
  const auto search = [&](const json& body) {
    return server.post_json("/v1/catalogs/shop/search", body).json();
  };
  EXPECT_EQ(search({{"text", long_text}})["text"], cut);
  EXPECT_EQ(search({{"text", "red"}})["text"], (json{{"tokens", 3}, {"truncated", false}}));
  EXPECT_FALSE(search({{"product_id", "p1"}}).contains("text"));

  const json labels = server
                          .post_json("/v1/classify", {{"catalog", "shop"},
                                                      {"product_id", "p0"},
                                                      {"labels", {"red", long_text}},
                                                      {"prompt_template", "{}"}})
                          .json()["labels"];
  for (const json& label : labels) EXPECT_EQ(label["prompt"]["truncated"], label["label"] != "red");

  const json data =
      server.post_json("/v1/embeddings", {{"input", {"red", long_text}}}).json()["data"];
  EXPECT_EQ(data[0]["truncated"], false);
  EXPECT_EQ(data[1]["truncated"], true);
  EXPECT_EQ(data[1]["tokens"], context);
}

TEST_F(Endpoints, ModelsTellHowTheEncoderIsUsed) {
  const auto model = [&] { return server.get("/v1/models").json()["data"][0]; };
  const json before = model();
  EXPECT_TRUE(before["threads"].is_number_integer());
  EXPECT_EQ(before["query_cache"]["max_bytes"], 0);
  server.post_json("/v1/embeddings", {{"input", {"red", "green"}}});
  const json after = model();
  EXPECT_EQ(after["batching"]["texts"], before["batching"]["texts"].get<int>() + 2);
  EXPECT_EQ(after["batching"]["text_passes"], before["batching"]["text_passes"].get<int>() + 1);
}

TEST_F(Endpoints, EmbeddingsHaveOpenAisShape) {
  const Answer answer = server.post_json("/v1/embeddings", {{"input", {"red", "green"}}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  const json body = answer.json();
  EXPECT_EQ(body["object"], "list");
  ASSERT_EQ(body["data"].size(), 2U);
  EXPECT_EQ(body["data"][1]["object"], "embedding");
  EXPECT_EQ(body["data"][1]["index"], 1);
  const auto values = body["data"][0]["embedding"].get<std::vector<float>>();
  ASSERT_EQ(values.size(), static_cast<std::size_t>(engine::ColourEncoder::kDimension));
  double norm = 0;
  for (const float value : values) norm += value * value;
  EXPECT_NEAR(norm, 1, 1e-5);
  EXPECT_EQ(body["data"][0]["tokens"], 3);
  EXPECT_EQ(body["data"][1]["truncated"], false);
  EXPECT_EQ(body["usage"], (json{{"prompt_tokens", 8}, {"total_tokens", 8}}));

  const Answer packed =
      server.post_json("/v1/embeddings", {{"input", "red"}, {"encoding_format", "base64"}});
  const std::string bytes = decode_base64(packed.json()["data"][0]["embedding"].get<std::string>());
  std::vector<float> unpacked(values.size());
  ASSERT_EQ(bytes.size(), values.size() * sizeof(float));
  std::memcpy(unpacked.data(), bytes.data(), bytes.size());
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(unpacked[i], values[i], 1e-6);
}

TEST_F(Endpoints, EmbeddingsMixTextsAndImagesInOrder) {
  const json image = {{"image", encode_base64(engine::colour_png("red", 1))}};
  const json body = server.post_json("/v1/embeddings", {{"input", {image, "red", image}}}).json();
  ASSERT_EQ(body["data"].size(), 3U);
  EXPECT_EQ(body["data"][0]["embedding"], body["data"][2]["embedding"]);
  EXPECT_NE(body["data"][0]["embedding"], body["data"][1]["embedding"]);
}

TEST_F(Endpoints, EmbeddingsRefuseWhatTheyCannotDo) {
  for (const json& body :
       {json::object(), json{{"input", json::array()}}, json{{"input", ""}},
        json{{"input", {1, 2}}}, json{{"input", {{"image", "Zm9v"}}}},
        json{{"input", {json{{"picture", "Zm9v"}}}}}, json{{"input", "a"}, {"dimensions", 3}},
        json{{"input", "a"}, {"encoding_format", "int8"}},
        json{{"input", std::vector<std::string>(2049, "a")}}}) {
    problem_detail(server.post_json("/v1/embeddings", body), 400);
  }
  EXPECT_THAT(
      problem_detail(server.post_json("/v1/embeddings", {{"input", "a"}, {"model", "gpt"}}), 404),
      HasSubstr("gpt"));
  const std::string served = server.get("/v1/models").json()["data"][0]["id"];
  EXPECT_EQ(server.post_json("/v1/embeddings", {{"input", "a"}, {"model", served}}).status, 200);
}

TEST_F(Endpoints, CatalogsAndProductsAreListed) {
  const json catalogs = server.get("/v1/catalogs").json()["catalogs"];
  ASSERT_EQ(catalogs.size(), 1U);
  EXPECT_EQ(catalogs[0]["name"], "shop");
  EXPECT_EQ(catalogs[0]["products"], 12);
  EXPECT_EQ(catalogs[0]["searchable"], true);
  EXPECT_EQ(server.get("/v1/catalogs/shop").json(), catalogs[0]);
  const json product = server.get("/v1/catalogs/shop/products/p2").json();
  EXPECT_EQ(product["id"], "p2");
  EXPECT_EQ(product["caption"], "a blue shirt");
}

TEST_F(Endpoints, ImagesCarryTheirTypeAndATag) {
  const Answer image = server.get("/v1/catalogs/shop/products/p0/image");
  ASSERT_EQ(image.status, 200);
  EXPECT_EQ(image.header("content-type"), "image/png");
  EXPECT_EQ(image.header("x-content-type-options"), "nosniff");
  EXPECT_EQ(image.body, engine::colour_png("red", 0));
  const std::string tag = image.header("etag");
  ASSERT_FALSE(tag.empty());
  const Answer again =
      server.get("/v1/catalogs/shop/products/p0/image", {{"If-None-Match", "\"x\", W/" + tag}});
  EXPECT_EQ(again.status, 304);
  EXPECT_EQ(again.body, "");
  EXPECT_EQ(server.get("/v1/catalogs/shop/products/p0/image", {{"If-None-Match", "\"x\""}}).status,
            200);
}

TEST_F(Endpoints, AFileThatIsNoImageIsNotShownAsOne) {
  std::ofstream(server.catalog().images() / "p0.png") << "<html><script>alert(1)</script>";
  const Answer image = server.get("/v1/catalogs/shop/products/p0/image");
  EXPECT_EQ(image.header("content-type"), "application/octet-stream");
  std::filesystem::remove(server.catalog().images() / "p0.png");
  problem_detail(server.get("/v1/catalogs/shop/products/p0/image"), 404);
}

TEST_F(Endpoints, ProductIdsMayContainAnything) {
  server.catalog().put("p0", "red", 1);
  server.catalog().append({{"id", "a/b c%ü"}, {"image", "p0.png"}, {"caption", "an odd id"}});
  server.catalog().write();
  server.engine().index_catalog(server.catalog().request());
  const Answer found = server.get("/v1/catalogs/shop/products/a%2Fb%20c%25%C3%BC");
  ASSERT_EQ(found.status, 200) << found.body;
  EXPECT_EQ(found.json()["id"], "a/b c%ü");
  EXPECT_EQ(server.get(found.json()["image_url"]).status, 200);
}

TEST_F(Endpoints, PathsThatClimbOrAreMalformedAreRefused) {
  for (const char* path : {"/v1/catalogs/shop/products/../../x", "/v1/catalogs/%2e%2e/products/p0",
                           "/v1/catalogs/shop/products/%00", "/v1/catalogs/shop/products/%ff",
                           "/v1/catalogs/shop/products/%", "/../etc/passwd"}) {
    problem_detail(server.get(path), 400);
  }
  for (const char* path : {"/nothing", "/v1", "/v1/catalogs/", "/v1/catalogs//products/p0", "//",
                           "/v1/catalogs/shop/products/p0/", "/V1/catalogs",
                           "/v1/catalogs/shop/products/%2e%2e%2f%2e%2e%2fx"}) {
    problem_detail(server.get(path), 404);
  }
  EXPECT_THAT(problem_detail(server.get("/v1/catalogs?limit=3"), 400), HasSubstr("limit=3"));
  EXPECT_THAT(problem_detail(server.get("/%761/catalogs?limit=3"), 400), HasSubstr("limit=3"));
}

TEST_F(Endpoints, OtherMethodsAreNamed) {
  const Answer get = server.get("/v1/classify");
  problem_detail(get, 405);
  EXPECT_EQ(get.header("allow"), "POST");
  const Answer post = server.post_json("/v1/catalogs", json::object());
  problem_detail(post, 405);
  EXPECT_EQ(post.header("allow"), "GET, HEAD");
  problem_detail(server.request("BREW", "/healthz"), 405);
}

TEST_F(Endpoints, HeadIsGetWithoutABody) {
  const Answer get = server.get("/v1/catalogs");
  const Answer head = server.request("HEAD", "/v1/catalogs");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("content-length"), std::to_string(get.body.size()));
  EXPECT_EQ(head.header("content-type"), get.header("content-type"));
}

TEST_F(Endpoints, HealthAndReadinessAnswer) {
  EXPECT_EQ(server.get("/healthz").status, 200);
  EXPECT_EQ(server.get("/readyz").status, 200);
}

TEST(Readiness, IsNotThereWhileNoCatalogCanBeSearched) {
  const TemporaryDirectory data;
  const engine::TestCatalog catalog(4);
  const auto answer_of = [](engine::Engine& engine) {
    const std::atomic<bool> draining{false};
    return get_readiness(Services{engine, draining}, Request());
  };
  {
    const engine::TestEngine engine(data.path(), 'a');
    EXPECT_EQ(answer_of(*engine.engine).status, 200) << "nothing is missing yet";
    engine->index_catalog(catalog.request());
    EXPECT_EQ(answer_of(*engine.engine).status, 200);
  }
  const engine::TestEngine engine(data.path(), 'b');  // another encoder
  EXPECT_THROW(answer_of(*engine.engine), HttpError);
}

TEST_F(Endpoints, ThePageIsServedUnderAPolicy) {
  const Answer page = server.get("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.header("content-type"), "text/html; charset=utf-8");
  EXPECT_THAT(page.header("content-security-policy"),
              AllOf(HasSubstr("default-src 'none'"), HasSubstr("script-src 'self'")));
  std::ifstream file(VITRINE_SOURCE_DIR "/web/index.html");
  EXPECT_EQ(page.body, std::string(std::istreambuf_iterator<char>(file), {}));
  EXPECT_THAT(page.body, testing::Not(HasSubstr("https://")));
  EXPECT_EQ(server.get("/app.js").header("content-type"), "text/javascript; charset=utf-8");
  EXPECT_EQ(server.get("/style.css?v=1").status, 200);
  EXPECT_EQ(server.get("/%73tyle.css").body, server.get("/style.css").body);
  EXPECT_EQ(server.get("/icon.svg").status, 200);
}

TEST_F(Endpoints, ReindexRunsAsAJob) {
  const Answer started = server.request("POST", "/v1/admin/catalogs/shop/reindex");
  ASSERT_EQ(started.status, 202) << started.body;
  const std::string location = started.header("location");
  EXPECT_EQ(location, "/v1/admin/jobs/" + started.json()["id"].get<std::string>());
  const json job = await_job(location);
  ASSERT_EQ(job["state"], "succeeded") << job;
  EXPECT_EQ(job["report"]["indexed"], 12);
  EXPECT_EQ(job["report"]["cached"], 12);
  EXPECT_EQ(server.get("/v1/admin/jobs").json()["jobs"].size(), 1U);
  EXPECT_EQ(server.get("/v1/catalogs/shop").json()["generation"], job["report"]["generation"]);
}

TEST_F(Endpoints, ReindexCanChangeTheIndexButNotTheFiles) {
  const Answer started =
      server.post_json("/v1/admin/catalogs/shop/reindex", {{"index", "hnsw"}, {"hnsw_m", 8}});
  ASSERT_EQ(started.status, 202) << started.body;
  await_job(started.header("location"));
  EXPECT_EQ(server.get("/v1/catalogs/shop").json()["index"], "hnsw");
  for (const json& body : {json{{"index", "tree"}}, json{{"catalog_file", "/etc/passwd"}},
                           json{{"hnsw_m", 1}}, json{{"pq_bytes", 129}}, json{{"strict", "yes"}}}) {
    problem_detail(server.post_json("/v1/admin/catalogs/shop/reindex", body), 400);
  }
  problem_detail(server.request("POST", "/v1/admin/catalogs/none/reindex"), 404);
}

TEST_F(Endpoints, ReindexForgetsATuningOnlyWhenTheIndexChanges) {
  engine::IndexRequest tuned = server.catalog().request();
  tuned.index.kind = "ivf_pq";
  tuned.search.nprobe = 7;
  tuned.tuned = true;
  server.engine().index_catalog(tuned);
  const auto after = [&](const json& body) {
    const Answer started = server.post_json("/v1/admin/catalogs/shop/reindex", body);
    EXPECT_EQ(await_job(started.header("location"))["state"], "succeeded");
    return server.engine().catalog("shop")->request();
  };
  const engine::IndexRequest same = after({{"index", "ivf_pq"}, {"strict", true}});
  EXPECT_TRUE(same.tuned);
  EXPECT_EQ(same.search.nprobe, 7);
  const engine::IndexRequest other = after({{"pq_bytes", 32}});
  EXPECT_EQ(other.index.pq_bytes, 32);
  EXPECT_FALSE(other.tuned);
  EXPECT_EQ(other.search.nprobe, index::SearchOptions().nprobe);
}

TEST_F(Endpoints, ARollbackUndoesAReindex) {
  const std::string admin = "/v1/admin/catalogs/shop/";
  EXPECT_THAT(problem_detail(server.request("POST", admin + "rollback"), 409),
              HasSubstr("no sound generation before 1"));
  for (int i = 0; i < 3; ++i) server.catalog().remove("p" + std::to_string(i));
  server.catalog().write();
  await_job(server.request("POST", admin + "reindex").header("location"));
  EXPECT_EQ(server.get("/v1/catalogs/shop").json()["products"], 9);

  const Answer undone = server.request("POST", admin + "rollback");
  ASSERT_EQ(undone.status, 200) << undone.body;
  EXPECT_EQ(undone.json(), server.get("/v1/catalogs/shop").json());
  EXPECT_EQ(undone.json()["products"], 12);
  EXPECT_EQ(server.get("/v1/catalogs/shop/products/p1").status, 200);
  const json generations = server.get(admin + "generations").json()["generations"];
  ASSERT_EQ(generations.size(), 2U);
  EXPECT_EQ(generations[0]["generation"], 1);
  EXPECT_EQ(generations[0]["served"], true);
  EXPECT_EQ(generations[1]["products"], 9);
  EXPECT_EQ(generations[1]["problem"], nullptr);

  EXPECT_EQ(server.post_json(admin + "rollback", {{"generation", 2}}).json()["products"], 9);
  for (const json& body : {json{{"generation", 0}}, json{{"generation", "1"}}, json{{"to", 1}}}) {
    problem_detail(server.post_json(admin + "rollback", body), 400);
  }
  problem_detail(server.post_json(admin + "rollback", {{"generation", 7}}), 409);
  problem_detail(server.request("POST", "/v1/admin/catalogs/none/rollback"), 404);
  problem_detail(server.get("/v1/admin/catalogs/none/generations"), 404);
}

/// Small enough for twelve products.
json small_experiment() {
  return {{"queries", "images"},
          {"query_count", 4},
          {"k", 3},
          {"kinds", {"flat", "ivf"}},
          {"parameters", {{"nlist", {2}}, {"nprobe", {1, 2}}}}};
}

TEST_F(Endpoints, ExperimentsRunAsJobsWithAPageAndCsv) {
  const Answer started = server.post_json("/v1/admin/catalogs/shop/experiment", small_experiment());
  ASSERT_EQ(started.status, 202) << started.body;
  const std::string location = started.header("location");
  const json job = await_job(location);
  ASSERT_EQ(job["state"], "succeeded") << job;
  EXPECT_EQ(job["kind"], "experiment");
  EXPECT_EQ(job["progress"]["stage"], "measuring");
  EXPECT_EQ(job["report"]["vectors"], 8);
  ASSERT_EQ(job["report"]["measurements"].size(), 3U);
  EXPECT_EQ(job["report"]["measurements"][0]["kind"], "flat");
  EXPECT_EQ(job["report"]["measurements"][0]["recall"], 1);
  const json listed = server.get("/v1/admin/jobs").json()["jobs"][0];
  EXPECT_FALSE(listed["report"].contains("measurements"));

  const Answer page = server.get(location + "/report.html");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.header("content-type"), "text/html; charset=utf-8");
  EXPECT_THAT(page.header("content-security-policy"), HasSubstr("default-src 'none'"));
  EXPECT_THAT(page.body, AllOf(HasSubstr("<svg"), HasSubstr("nprobe 2")));
  const Answer csv = server.get(location + "/report.csv");
  EXPECT_EQ(csv.header("content-type"), "text/csv; charset=utf-8");
  EXPECT_EQ(std::ranges::count(csv.body, '\n'), 4);

  const Answer reindex = server.request("POST", "/v1/admin/catalogs/shop/reindex");
  await_job(reindex.header("location"));
  EXPECT_THAT(problem_detail(server.get(reindex.header("location") + "/report.html"), 404),
              HasSubstr("measures nothing"));
  problem_detail(server.get("/v1/admin/jobs/none/report.csv"), 404);
}

TEST_F(Endpoints, ExperimentsSayWhatIsWrong) {
  const auto detail = [&](const json& change, const char* path = "experiment") {
    json body = small_experiment();
    body.update(change);
    return problem_detail(server.post_json(std::string("/v1/admin/catalogs/shop/") + path, body),
                          400);
  };
  EXPECT_THAT(detail({{"k", 0}}), HasSubstr("\"k\""));
  EXPECT_THAT(detail({{"kinds", {"tree"}}}), HasSubstr("\"tree\""));
  EXPECT_THAT(detail({{"queries", "dreams"}}), HasSubstr("\"dreams\""));
  EXPECT_THAT(detail({{"texts", {"red"}}}), HasSubstr("exclude each other"));
  EXPECT_THAT(detail({{"parameters", {{"nprobe", {0}}}}}), HasSubstr("nprobe is 0"));
  EXPECT_THAT(detail({{"parameters", {{"nprobe", {0.0}}}}}), HasSubstr("nprobe is 0"));
  EXPECT_THAT(detail({{"parameters", {{"nprobe", {1.5}}}}}), HasSubstr("integers"));
  EXPECT_THAT(detail({{"parameters", {{"nprobe", {1e18}}}}}), HasSubstr("integers"));
  EXPECT_THAT(detail({{"parameters", {{"nprobe", 7}}}}), HasSubstr("list of integers"));
  EXPECT_THAT(detail({{"parameters", {{"speed", {7}}}}}), HasSubstr("\"speed\""));
  EXPECT_THAT(detail({{"recall", 0.9}}), HasSubstr("\"recall\""));
  EXPECT_THAT(detail({{"recall", 1.5}}, "tune"), HasSubstr("recall is 1.5"));
  EXPECT_THAT(detail({{"memory_mb", -1}}, "tune"), HasSubstr("memory_mb is -1"));
  json without_texts = small_experiment();
  without_texts.erase("queries");
  without_texts["texts"] = json::array();
  EXPECT_THAT(
      problem_detail(server.post_json("/v1/admin/catalogs/shop/experiment", without_texts), 400),
      HasSubstr("it must hold 1 to 1000"));
  problem_detail(server.post_json("/v1/admin/catalogs/none/experiment", small_experiment()), 404);
  problem_detail(server.post_json("/v1/admin/catalogs/none/tune", small_experiment()), 404);
}

TEST_F(Endpoints, TuningAppliesItsChoiceUnlessItIsDry) {
  json body = small_experiment();
  body.update({{"kinds", {"ivf"}}, {"recall", 0.01}, {"dry_run", true}});
  const Answer dry = server.post_json("/v1/admin/catalogs/shop/tune", body);
  ASSERT_EQ(dry.status, 202) << dry.body;
  json job = await_job(dry.header("location"));
  ASSERT_EQ(job["state"], "succeeded") << job;
  EXPECT_EQ(job["report"]["choice"]["chosen"], 0);
  EXPECT_EQ(job["report"]["goal"]["recall"], 0.01);
  EXPECT_TRUE(job["report"]["applied_generation"].is_null());
  EXPECT_EQ(server.get("/v1/catalogs/shop").json()["index"], "flat");

  body["dry_run"] = false;
  job = await_job(server.post_json("/v1/admin/catalogs/shop/tune", body).header("location"));
  ASSERT_EQ(job["state"], "succeeded") << job;
  const json catalog = server.get("/v1/catalogs/shop").json();
  EXPECT_EQ(catalog["index"], "ivf");
  EXPECT_EQ(catalog["generation"], job["report"]["applied_generation"]);
  EXPECT_THAT(server.get("/v1/admin/jobs/" + job["id"].get<std::string>() + "/report.html").body,
              HasSubstr("The choice"));
}

TEST_F(Endpoints, JobsCanBeCancelled) {
  json body = small_experiment();
  body["parameters"]["nprobe"] = json::array();
  for (int nprobe = 1; nprobe <= 1900; ++nprobe) body["parameters"]["nprobe"].push_back(nprobe);
  const Answer started = server.post_json("/v1/admin/catalogs/shop/experiment", body);
  ASSERT_EQ(started.status, 202) << started.body;
  const Answer cancelled = server.request("POST", started.header("location") + "/cancel");
  EXPECT_EQ(cancelled.status, 202);
  EXPECT_EQ(await_job(started.header("location"))["state"], "cancelled");
  problem_detail(server.request("POST", "/v1/admin/jobs/none/cancel"), 404);
}

TEST_F(Endpoints, AdminRefusesForeignPages) {
  problem_detail(server.request("POST", "/v1/admin/catalogs/shop/reindex", "",
                                {{"Origin", "http://evil.example"}}),
                 403);
}

/// "get /healthz"
std::string operation_of(const Route& route) {
  return lower_case(route.method) + " " + std::string(route.pattern);
}

/// What docs/openapi.yaml says of each operation.
std::map<std::string, std::string> described_operations() {
  std::ifstream file(VITRINE_SOURCE_DIR "/docs/openapi.yaml");
  std::map<std::string, std::string> operations;
  std::string path;
  std::string method;
  for (std::string line; std::getline(file, line) && line != "components:";) {
    const std::size_t indent = std::min(line.find_first_not_of(' '), line.size());
    const std::string key = line.substr(indent, line.find(':') - indent);
    if (line.starts_with("  /")) {
      path = key;
    } else if (!path.empty() && indent == 4) {
      method = key;
    } else if (!path.empty() && method != "parameters") {
      operations[method + " " + path] += line + '\n';
    }
  }
  return operations;
}

TEST(Routes, AreDescribedAndNothingElseIs) {
  std::vector<std::string> described;
  for (const auto& [operation, text] : described_operations()) described.push_back(operation);
  std::vector<std::string> served;
  for (const Route& route : routes()) {
    if (route.handler == get_web_file && route.pattern != "/") continue;
    served.push_back(operation_of(route));
  }
  EXPECT_THAT(described, testing::UnorderedElementsAreArray(served));
}

TEST(Routes, AreDescribedWithTheirProblemsAndTheirToken) {
  const auto described = described_operations();
  for (const Route& route : routes()) {
    if (!route.pattern.starts_with("/v1/")) continue;
    const std::string& text = described.at(operation_of(route));
    EXPECT_THAT(text, HasSubstr("default: {$ref: '#/components/responses/Problem'}"))
        << route.pattern;
    EXPECT_EQ(text.find("adminToken") != std::string::npos, route.access == Access::kAdmin)
        << route.pattern;
  }
}

TEST(Problem, IsDescribedWithEveryStatus) {
  std::ifstream file(VITRINE_SOURCE_DIR "/docs/openapi.yaml");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const std::size_t begin = text.find("\n    Problem:\n      description: |\n");
  ASSERT_NE(begin, std::string::npos);
  const std::string described = text.substr(begin, text.find("headers:", begin) - begin);
  for (int status = 400; status < 600; ++status) {
    const int general = status < 500 ? 400 : 500;
    if (status != general && reason_phrase(status) == reason_phrase(general)) continue;
    EXPECT_THAT(described,
                testing::ContainsRegex("- [0-9, ]*" + std::to_string(status) + "[0-9, ]*: "));
  }
}

TEST(AdminToken, IsAskedForAndChecked) {
  TestServer server([](ServerOptions& options) { options.admin_token = "s3cret"; });
  const Answer without = server.get("/v1/admin/jobs");
  problem_detail(without, 401);
  EXPECT_EQ(without.header("www-authenticate"), "Bearer");
  problem_detail(server.get("/v1/admin/jobs", {{"Authorization", "Bearer s3cres"}}), 401);
  EXPECT_EQ(server.get("/v1/admin/jobs", {{"Authorization", "Bearer s3cret"}}).status, 200);
  EXPECT_EQ(server.get("/v1/catalogs").status, 200);
}

}  // namespace
}  // namespace vitrine::http
