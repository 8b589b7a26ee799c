#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

#include "base/base64.h"
#include "test_server.h"

namespace vitrine::http {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const std::string kProduct = "/v1/catalogs/shop/products/";
const Headers kJson = {{"Content-Type", "application/json"}};

class LiveUpdates : public testing::Test {
 protected:
  Answer put(const std::string& id, const json& body, const Headers& headers = kJson) {
    return server.request("PUT", kProduct + id, body.dump(), headers);
  }
  Answer erase(const std::string& id) { return server.request("DELETE", kProduct + id); }
  std::string first_hit(const json& query) {
    const json found = server.post_json("/v1/catalogs/shop/search", query).json();
    return found.at("hits").at(0).at("id");
  }

  TestServer server;
};

std::string detail(const Answer& answer, int status) {
  EXPECT_EQ(answer.status, status) << answer.body.substr(0, 500);
  EXPECT_EQ(answer.header("content-type"), "application/problem+json");
  return answer.json().value("detail", "");
}

TEST_F(LiveUpdates, AddChangeAndDeleteAProduct) {
  const std::string image = engine::colour_png("blue", 4711);
  const json body = {{"caption", "a blue thing"},
                     {"attributes", {{"price", 3}}},
                     {"image_base64", encode_base64(image)}};
  const Answer added = put("a%2Fb", body);
  ASSERT_EQ(added.status, 201) << added.body;
  EXPECT_EQ(added.json(), json({{"id", "a/b"}, {"sequence", 1}, {"created", true}}));
  EXPECT_EQ(server.get(kProduct + "a%2Fb").json()["attributes"]["price"], 3);
  EXPECT_EQ(server.get(kProduct + "a%2Fb/image").body, image);
  EXPECT_EQ(first_hit({{"image", encode_base64(image)}}), "a/b");
  EXPECT_EQ(first_hit({{"product_id", "a/b"}}).substr(0, 1), "p") << "not itself";

  const Answer changed = put("a%2Fb", {{"attributes", {{"price", 4}}}});
  EXPECT_EQ(changed.status, 200);
  EXPECT_EQ(changed.json()["created"], false);
  const json product = server.get(kProduct + "a%2Fb").json();
  EXPECT_EQ(product["attributes"]["price"], 4);
  EXPECT_EQ(product["caption"], "a blue thing");
  const json catalog = server.get("/v1/catalogs/shop").json();
  EXPECT_EQ(catalog["products"], 13);
  EXPECT_EQ(catalog["sequence"], 2);
  EXPECT_EQ(catalog["delta_rows"], 2);
  EXPECT_EQ(catalog["tombstones"], 0);

  const Answer gone = erase("a%2Fb");
  EXPECT_EQ(gone.status, 200);
  EXPECT_EQ(gone.json(), json({{"id", "a/b"}, {"sequence", 3}}));
  EXPECT_EQ(server.get(kProduct + "a%2Fb").status, 404);
  EXPECT_EQ(server.get(kProduct + "a%2Fb/image").status, 404);
  detail(erase("a%2Fb"), 404);
  EXPECT_EQ(erase("p1").status, 200);
  EXPECT_EQ(server.get("/v1/catalogs/shop").json()["tombstones"], 1);
}

TEST_F(LiveUpdates, TakeImagesByNameAsDataUrlsAndAsFiles) {
  EXPECT_EQ(put("named", {{"caption", "x"},
                          {"image", server.engine().catalog("shop")->product("p3")->image}})
                .status,
            201);
  EXPECT_EQ(server.get(kProduct + "named/image").body, server.get(kProduct + "p3/image").body);
  const std::string image = engine::colour_png("green", 99);
  EXPECT_EQ(
      put("url", {{"caption", "x"}, {"image", "data:image/png;base64," + encode_base64(image)}})
          .status,
      201);
  EXPECT_EQ(server.get(kProduct + "url/image").body, image);
  const Answer form = server.request(
      "PUT", kProduct + "form",
      multipart_body({{"caption", "a hat"}, {"attributes", R"({"size": 7})"}}, image),
      {{"Content-Type", "multipart/form-data; boundary=XX"}});
  ASSERT_EQ(form.status, 201) << form.body;
  EXPECT_EQ(server.get(kProduct + "form").json()["attributes"]["size"], 7);
  EXPECT_EQ(server.get(kProduct + "form/image").body, image);
}

TEST_F(LiveUpdates, TakeTheJsonOfAFormAsAFileOfItsType) {
  const auto change = [&](const std::string& part) {
    return server.request("PUT", kProduct + "p3", part + multipart_body({}),
                          {{"Content-Type", "multipart/form-data; boundary=XX"}});
  };
  const Answer changed = change(blob_part("attributes", "application/json", R"({"size": 7})"));
  ASSERT_EQ(changed.status, 200) << changed.body;
  EXPECT_EQ(server.get(kProduct + "p3").json()["attributes"]["size"], 7);
  for (const std::string& part : {blob_part("attributes", "text/plain", "{}"),
                                  blob_part("caption", "application/json", "\"a hat\"")}) {
    EXPECT_THAT(detail(change(part), 400), HasSubstr("is a file")) << part;
  }
}

TEST_F(LiveUpdates, TakeEmbeddingsAsNumbersAndAsBase64) {
  const json first = {1, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(
      put("numbers", {{"caption", "x"}, {"image_embedding", first}, {"caption_embedding", first}})
          .status,
      201);
  const std::vector<float> values = {3, 4, 0, 0, 0, 0, 0, 0};
  const std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * 4);
  EXPECT_EQ(put("base64", {{"caption", "x"}, {"image_embedding", encode_base64(bytes)}}).status,
            201);
  const auto catalog = server.engine().catalog("shop");
  EXPECT_FLOAT_EQ(catalog->vector(engine::Target::kImage, *catalog->row_of("numbers"))[0], 1);
  EXPECT_FLOAT_EQ(catalog->vector(engine::Target::kImage, *catalog->row_of("base64"))[1], 0.8F);
  EXPECT_THAT(detail(server.get(kProduct + "base64/image"), 404), HasSubstr("has no image"));
}

TEST_F(LiveUpdates, OfManyProductsAreWrittenTogether) {
  const json vector = {0, 1, 0, 0, 0, 0, 0, 0};
  json products = json::array();
  for (int i = 0; i < 50; ++i) {
    products.push_back(
        {{"id", "n" + std::to_string(i)}, {"caption", "many"}, {"image_embedding", vector}});
  }
  products.push_back({{"id", "p0"}, {"attributes", {{"v", 1}}}});
  const Answer written = server.post_json("/v1/catalogs/shop/products", {{"products", products}});
  ASSERT_EQ(written.status, 200) << written.body;
  EXPECT_EQ(written.json()["products"].size(), 51U);
  EXPECT_EQ(written.json()["products"][50],
            json({{"id", "p0"}, {"sequence", 51}, {"created", false}}));
  EXPECT_EQ(server.get("/v1/catalogs/shop").json()["products"], 62);

  products[7] = {{"id", "broken"}};
  EXPECT_THAT(detail(server.post_json("/v1/catalogs/shop/products", {{"products", products}}), 400),
              HasSubstr("\"broken\" is new"));
  EXPECT_EQ(server.get("/v1/catalogs/shop").json()["sequence"], 51);
}

TEST_F(LiveUpdates, AreMergedByAJob) {
  EXPECT_EQ(put("p3", {{"attributes", {{"v", 1}}}}).status, 200);
  const Answer started = server.request("POST", "/v1/admin/catalogs/shop/merge");
  ASSERT_EQ(started.status, 202) << started.body;
  json job;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  do {
    job = server.get(started.header("location")).json();
    std::this_thread::yield();
  } while (job["state"] == "running" && std::chrono::steady_clock::now() < deadline);
  ASSERT_EQ(job["state"], "succeeded") << job;
  EXPECT_EQ(job["kind"], "merge");
  EXPECT_EQ(job["report"]["encoded"], 0);
  EXPECT_EQ(server.get("/v1/catalogs/shop").json()["delta_rows"], 0);
  EXPECT_EQ(server.get(kProduct + "p3").json()["attributes"]["v"], 1);
  detail(server.request("POST", "/v1/admin/catalogs/none/merge"), 404);
}

TEST_F(LiveUpdates, RefuseWhatIsWrong) {
  struct Case {
    json body;
    int status;
    std::string complaint;
  };
  const json good = {1, 0, 0, 0, 0, 0, 0, 0};
  for (const Case& wrong : {
           Case{{{"caption", "x"}}, 400, "it needs an image"},
           Case{{{"image_embedding", good}}, 400, "it needs a caption"},
           Case{{{"caption", "x"}, {"image", "../a.png"}}, 403, "leaves its image folder"},
           Case{{{"caption", "x"}, {"image", "none.png"}}, 400, "does not exist"},
           Case{{{"caption", "x"}, {"image_base64", "AAAA"}}, 400, "product \"new\""},
           Case{{{"caption", "x"}, {"image_base64", "???"}}, 400, "image_base64"},
           Case{{{"caption", "x"}, {"image_embedding", {1, 2}}}, 400, "has 2 values"},
           Case{{{"caption", "x"}, {"image_embedding", {1, "a"}}}, 400, "must be a number"},
           Case{{{"caption", "x"}, {"image_embedding", "AAA="}}, 400, "4 each"},
           Case{{{"caption", "x"}, {"image_embedding", 1}}, 400, "array of numbers"},
           Case{{{"caption", "x"}, {"image_embedding", {1e300, 0, 0, 0, 0, 0, 0, 0}}},
                400,
                "not finite"},
           Case{{{"caption", 1}}, 400, "caption"},
           Case{{{"attributes", {1}}}, 400, "attributes"},
           Case{{{"captoin", "x"}}, 400, "captoin"},
           Case{json::array(), 400, "the product"},
       }) {
    EXPECT_THAT(detail(put("new", wrong.body), wrong.status), HasSubstr(wrong.complaint));
  }
  EXPECT_THAT(detail(server.request("PUT", kProduct + "new",
                                    multipart_body({{"caption", "x"}, {"price", "cheap"}},
                                                   engine::colour_png("red", 1)),
                                    {{"Content-Type", "multipart/form-data; boundary=XX"}}),
                     400),
              HasSubstr("the form field \"price\""));
  detail(server.request("PUT", kProduct + "new", "caption=x", {{"Content-Type", "text/plain"}}),
         415);
  detail(server.request("PUT", "/v1/catalogs/none/products/a", "{}", kJson), 404);
  detail(server.request("PUT", kProduct + std::string(600, 'x'), "{}", kJson), 400);
  detail(server.request("PUT", kProduct + std::string(20'000, 'x'), "{}", kJson), 431);
  const auto many = [&](const json& products) {
    return server.post_json("/v1/catalogs/shop/products", {{"products", products}});
  };
  detail(many(json::array()), 400);
  detail(many(json(1)), 400);
  EXPECT_THAT(detail(many(json::array({json{{"id", 7}}})), 400), HasSubstr("products[0]"));
  EXPECT_THAT(
      detail(many(json::array({json{{"id", std::string(10 << 20, 'x')}, {"caption", "x"}}})), 400),
      HasSubstr("at most 512"));
  EXPECT_THAT(detail(many(json::array({json{{"id", "p1"}}, json{{"id", "p1"}}})), 400),
              HasSubstr("twice"));
  detail(many(json(std::vector<json>(1001, json{{"id", "p1"}}))), 400);
  EXPECT_EQ(server.get("/v1/catalogs/shop").json()["sequence"], 0);
  EXPECT_EQ(server.get("/v1/catalogs/shop").json()["products"], 12);
}

TEST_F(LiveUpdates, AreUnavailableWhileTheImageFolderIsGone) {
  const std::filesystem::path folder = server.catalog().images();
  const std::filesystem::path away = folder.string() + "-away";
  const json body = {{"caption", "x"}, {"image", "p3.png"}};
  // The second time it was opened before.
  for (int time = 0; time < 2; ++time) {
    std::filesystem::rename(folder, away);
    const Answer refused = put("new", {{"caption", "x"}, {"image", "none.png"}});
    detail(refused, 503);
    EXPECT_EQ(refused.header("retry-after"), "1");
    EXPECT_EQ(refused.body.find(folder.string()), std::string::npos);
    detail(server.get(kProduct + "p1/image"), 503);
    std::filesystem::copy(away, folder);  // another folder of the same name
    std::filesystem::remove_all(away);
    EXPECT_EQ(put("new", body).status, time == 0 ? 201 : 200);
    detail(put("new", {{"caption", "x"}, {"image", "none.png"}}), 400);
  }
}

TEST_F(LiveUpdates, AreNotBegunByRequestsWithUnknownFields) {
  for (const auto& [method, path] :
       std::vector<std::pair<std::string, std::string>>{{"POST", "/v1/admin/catalogs/shop/merge"},
                                                        {"POST", "/v1/admin/jobs/none/cancel"},
                                                        {"DELETE", kProduct + "p1"}}) {
    EXPECT_THAT(detail(server.request(method, path, R"({"dry_run": true})", kJson), 400),
                HasSubstr("unknown fields: \"dry_run\"; it may have none"))
        << path;
  }
  EXPECT_TRUE(server.get("/v1/admin/jobs").json()["jobs"].empty());
  EXPECT_EQ(server.request("DELETE", kProduct + "p1", "{}", kJson).status, 200);
}

TEST_F(LiveUpdates, RefuseForeignPages) {
  Headers headers = kJson;
  headers.emplace_back("Origin", "http://evil.example");
  detail(put("p1", {{"caption", "x"}}, headers), 403);
  detail(server.request("DELETE", kProduct + "p1", "", {{"Origin", "http://evil.example"}}), 403);
  EXPECT_EQ(server.get(kProduct + "p1").status, 200);
}

TEST(LiveUpdatesWithAToken, NeedIt) {
  TestServer server([](ServerOptions& options) { options.admin_token = "s3cret"; });
  const Headers token = {{"Authorization", "Bearer s3cret"}};
  detail(server.request("DELETE", kProduct + "p1"), 401);
  detail(server.request("PUT", kProduct + "p1", "{}", kJson), 401);
  detail(server.post_json("/v1/catalogs/shop/products",
                          {{"products", json::array({json{{"id", "p1"}}})}}),
         401);
  EXPECT_EQ(server.get(kProduct + "p1").status, 200);
  EXPECT_EQ(server.request("DELETE", kProduct + "p1", "", token).status, 200);
}

}  // namespace
}  // namespace vitrine::http
