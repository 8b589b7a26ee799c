#include "http/cors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "test_server.h"

namespace vitrine::http {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kShop = "https://shop.example";
constexpr const char* kSearch = "/v1/catalogs/shop/search";
constexpr const char* kJobs = "/v1/admin/jobs";
constexpr const char* kProduct = "/v1/catalogs/shop/products/p1";

class Cors : public testing::Test {
 protected:
  static Answer preflight(TestServer& server, const std::string& target, const std::string& method,
                          const std::string& origin = kShop) {
    return server.request("OPTIONS", target, "",
                          {{"Origin", origin},
                           {"Access-Control-Request-Method", method},
                           {"Access-Control-Request-Headers", "content-type"}});
  }

  static void expect_closed(const Answer& answer) {
    for (const auto& [name, value] : answer.headers) {
      EXPECT_FALSE(name.starts_with("access-control-")) << name << ": " << value;
    }
  }

  TestServer server_{[](ServerOptions& options) {
    options.cors_origins = std::string(kShop) + ", http://localhost:3000";
    options.max_body_mb = 1;
  }};
};

TEST(CorsPolicy, TakesOriginsAsBrowsersSendThem) {
  for (const char* origins :
       {"", "*", " * ", "https://shop.example", "http://localhost:3000,https://a.example",
        "http://127.0.0.1:8080 , http://[::1]:3000", "https://xn--mller-kva.example",
        "https://shop.example:80", "http://[2001:db8::1]"}) {
    EXPECT_NO_THROW(CorsPolicy{origins}) << origins;
  }
}

TEST(CorsPolicy, RefusesWhatNoBrowserSends) {
  for (const std::string origins : {"shop.example",
                                    "https://shop.example/",
                                    "https://shop.example/path",
                                    "https://",
                                    "https://Shop.example",
                                    "HTTPS://shop.example",
                                    "https://shop.example:443",
                                    "http://shop.example:80",
                                    "http://shop.example:",
                                    "http://shop.example:x",
                                    "http://:80",
                                    "https://user@shop.example",
                                    "https://*.shop.example",
                                    "https://müller.example",
                                    "http://[::1",
                                    "http://[::1]x",
                                    "http://::1",
                                    "ftp://shop.example",
                                    "null",
                                    "*, *",
                                    "https://a.example,",
                                    "https://a.example,,https://b.example",
                                    "https://a.example https://b.example",
                                    "https://a.example, *"}) {
    try {
      CorsPolicy{origins};
      ADD_FAILURE() << origins;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(error.what(), HasSubstr("server.cors_origins"));
    }
  }
}

TEST_F(Cors, AnswersThePreflightOfAnAllowedPage) {
  const Answer answer = preflight(server_, kSearch, "POST");
  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(answer.body, "");
  EXPECT_EQ(answer.header("content-length"), "");
  EXPECT_EQ(answer.header("access-control-allow-origin"), kShop);
  EXPECT_EQ(answer.header("access-control-allow-methods"), "POST");
  EXPECT_THAT(answer.header("access-control-allow-headers"),
              AllOf(HasSubstr("Authorization"), HasSubstr("Content-Type")));
  EXPECT_EQ(answer.header("access-control-max-age"), "7200");
  EXPECT_EQ(answer.header("access-control-allow-credentials"), "");
  EXPECT_EQ(answer.header("vary"), "Origin");
  EXPECT_EQ(preflight(server_, "/v1/catalogs", "HEAD").status, 204);
  EXPECT_EQ(preflight(server_, kProduct, "GET", "http://localhost:3000").status, 204);
}

TEST_F(Cors, KeepsTheConnectionAfterAPreflight) {
  RawClient client(server_.port());
  client.send(request_text("OPTIONS", kSearch, "",
                           {{"Origin", kShop}, {"Access-Control-Request-Method", "POST"}}) +
              request_text("GET", "/healthz", "", {{"Origin", kShop}}));
  EXPECT_EQ(client.receive()->status, 204);
  EXPECT_EQ(client.receive()->status, 200);
}

TEST_F(Cors, RefusesThePreflightOfWhatIsNotThere) {
  EXPECT_EQ(preflight(server_, "/nothing", "GET").status, 404);
  EXPECT_EQ(preflight(server_, kSearch, "DELETE").status, 405);
  // Without what makes it a preflight it is a method like others.
  const Answer plain = server_.request("OPTIONS", kSearch, "", {{"Origin", kShop}});
  EXPECT_EQ(plain.status, 405);
  EXPECT_EQ(plain.header("allow"), "POST");
}

TEST_F(Cors, LetsAllowedPagesReadAnswersAndErrors) {
  const Headers from_shop = {{"Origin", kShop}};
  for (const auto& [answer, status] :
       {std::pair{server_.post_json(kSearch, {{"text", "red"}}, from_shop), 200},
        std::pair{server_.post_json(kSearch, {{"txet", "red"}}, from_shop), 400},
        std::pair{server_.get("/nothing", from_shop), 404},
        std::pair{server_.get(kSearch, from_shop), 405},
        std::pair{server_.request("POST", kSearch, std::string(2 << 20, 'x'), from_shop), 413},
        std::pair{server_.request("HEAD", "/v1/catalogs", "", from_shop), 200},
        std::pair{server_.get("/healthz", {{"Origin", kShop}, {"A", std::string(30'000, 'x')}}),
                  431}}) {
    EXPECT_EQ(answer.status, status);
    EXPECT_EQ(answer.header("access-control-allow-origin"), kShop) << status;
    EXPECT_THAT(answer.header("access-control-expose-headers"),
                AllOf(HasSubstr("X-Request-Id"), HasSubstr("Retry-After")));
    EXPECT_EQ(answer.header("vary"), "Origin");
  }
}

TEST_F(Cors, TellsOtherPagesNothing) {
  for (const char* origin : {"https://evil.example", "http://shop.example", "null",
                             "https://shop.example:8443", "https://shop.example.evil.example"}) {
    const Answer answer = server_.get("/v1/catalogs", {{"Origin", origin}});
    EXPECT_EQ(answer.status, 200);
    expect_closed(answer);
    const Answer refused = preflight(server_, kSearch, "POST", origin);
    EXPECT_EQ(refused.status, 405);
    expect_closed(refused);
  }
  const Answer plain = server_.get("/v1/catalogs");
  expect_closed(plain);
  EXPECT_EQ(plain.header("vary"), "Origin") << "or a cache would answer a page with it";
}

TEST(CorsOfEveryOrigin, DependsOnNoOrigin) {
  TestServer server([](ServerOptions& options) { options.cors_origins = "*"; });
  for (const Headers& headers : {Headers{}, Headers{{"Origin", kShop}}}) {
    const Answer answer = server.get("/v1/catalogs", headers);
    EXPECT_EQ(answer.header("access-control-allow-origin"), "*");
    EXPECT_EQ(answer.header("vary"), "");
  }
}

TEST_F(Cors, NeverOpensWhatNeedsTheToken) {
  for (const std::string token : {"", "s3cret"}) {
    for (const std::string origins : {"*", kShop}) {
      TestServer server([&](ServerOptions& options) {
        options.cors_origins = origins;
        options.admin_token = token;
      });
      const Headers from_shop = {{"Origin", kShop}, {"Authorization", "Bearer " + token}};
      const Answer jobs = server.get(kJobs, from_shop);
      EXPECT_EQ(jobs.status, token.empty() ? 403 : 200);
      expect_closed(jobs);
      expect_closed(server.get(kJobs, {{"Origin", kShop}}));
      expect_closed(server.request("DELETE", kProduct, "", {{"Origin", kShop}}));
      EXPECT_EQ(server.get(kProduct).status, 200);
      for (const auto& [target, method] :
           {std::pair{kJobs, "GET"}, std::pair{kProduct, "PUT"}, std::pair{kProduct, "DELETE"},
            std::pair{"/v1/catalogs/shop/products", "POST"}}) {
        const Answer answer = preflight(server, target, method);
        EXPECT_EQ(answer.status, 403);
        expect_closed(answer);
      }
    }
  }
}

TEST(CorsOfNoOrigin, IsTheDefault) {
  TestServer server;
  const Headers asked = {{"Origin", kShop}, {"Access-Control-Request-Method", "POST"}};
  for (const Answer& answer :
       {server.request("OPTIONS", kSearch, "", asked), server.get("/v1/catalogs", asked)}) {
    EXPECT_EQ(answer.header("access-control-allow-origin"), "");
    EXPECT_EQ(answer.header("vary"), "");
  }
}

}  // namespace
}  // namespace vitrine::http
