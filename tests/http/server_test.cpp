#include "http/server.h"
#include "base/base64.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <condition_variable>
#include <csignal>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "test_server.h"

namespace vitrine::http {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// Holds whoever enters until it is opened, and tells how many are inside.
class Gate {
 public:
  void enter() {
    std::unique_lock lock(mutex_);
    ++inside_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void wait_for(int inside) {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(
        changed_.wait_for(lock, std::chrono::seconds(30), [&] { return inside_ >= inside; }));
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int inside_ = 0;
  bool open_ = false;
};

/// What is logged while it lives.
class CapturedLog {
 public:
  CapturedLog() : before_(spdlog::default_logger()) {
    auto logger = std::make_shared<spdlog::logger>(
        "captured", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_));
    logger->set_pattern("%l %v");
    spdlog::set_default_logger(logger);
  }
  ~CapturedLog() { spdlog::set_default_logger(before_); }
  CapturedLog(const CapturedLog&) = delete;
  CapturedLog& operator=(const CapturedLog&) = delete;

  /// Once nothing logs any more.
  std::vector<std::string> lines() const {
    std::vector<std::string> lines;
    std::istringstream stream(text_.str());
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
  }

 private:
  std::shared_ptr<spdlog::logger> before_;
  std::ostringstream text_;
};

std::string image_search() {
  const json body = {{"image", encode_base64(engine::colour_png("red", 1))}};
  return request_text("POST", "/v1/catalogs/shop/search", body.dump(),
                      {{"Content-Type", "application/json"}});
}

TEST(ServerOptions, NameWhatIsOutOfRange) {
  const std::pair<const char*, std::function<void(ServerOptions&)>> bad[] = {
      {"address", [](auto& o) { o.address = "localhost"; }},
      {"port", [](auto& o) { o.port = 65536; }},
      {"io_threads", [](auto& o) { o.io_threads = 0; }},
      {"max_body_mb", [](auto& o) { o.max_body_mb = 0; }},
      {"max_buffered_mb", [](auto& o) { o.max_buffered_mb = 1; }},
      {"drain_timeout_sec", [](auto& o) { o.drain_timeout_sec = -1; }},
      {"admin_token", [](auto& o) { o.admin_token = "a b"; }},
      {"cors_origins", [](auto& o) { o.cors_origins = "shop.example"; }}};
  for (const auto& [name, change] : bad) {
    ServerOptions options;
    change(options);
    try {
      options.validate();
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(name));
    }
  }
  EXPECT_NO_THROW(ServerOptions{}.validate());
}

TEST(Server, SaysWhenThePortIsTaken) {
  TestServer first;
  ServerOptions options;
  options.port = first.port();
  EXPECT_THROW(Server(first.engine(), options), Error);
}

TEST(Server, KeepsAConnectionForManyRequests) {
  TestServer server;
  RawClient client(server.port());
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(client.send(request_text("GET", i % 2 == 0 ? "/healthz" : "/nothing")));
    const auto answer = client.receive();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, i % 2 == 0 ? 200 : 404);
  }
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  TestServer server;
  RawClient client(server.port());
  client.send(request_text("GET", "/v1/catalogs/shop/products/p1") + image_search() +
              request_text("HEAD", "/healthz") +
              request_text("GET", "/v1/catalogs/shop/products/p2"));
  EXPECT_EQ(client.receive()->json()["id"], "p1");
  EXPECT_TRUE(client.receive()->json().contains("hits"));
  EXPECT_EQ(client.receive(true)->status, 200);
  EXPECT_EQ(client.receive()->json()["id"], "p2");
}

TEST(Server, PassesOverEmptyLinesBeforeARequest) {
  TestServer server;
  const std::string get = request_text("GET", "/healthz");
  RawClient client(server.port());
  client.send("\r\n" + image_search() + "\r\n" + get + "\r\n\r\n" + get);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.receive()->status, 200);
  client.send("\r");
  client.send("\n" + get);
  EXPECT_EQ(client.receive()->status, 200);
  RawClient endless(server.port());
  while (endless.send("\r\n") && !endless.has_received()) {
  }
  EXPECT_EQ(endless.receive()->status, 400);
}

TEST(Server, ClosesWhenAskedTo) {
  TestServer server;
  RawClient client(server.port());
  client.send(request_text("GET", "/healthz", "", {{"Connection", "close"}}));
  EXPECT_THAT(client.receive_all(), StartsWith("HTTP/1.1 200 OK"));
  RawClient old(server.port());
  old.send("GET /healthz HTTP/1.0\r\n\r\n");
  EXPECT_THAT(old.receive_all(), StartsWith("HTTP/1.0 200 OK"));
}

TEST(Server, EchoesAProperRequestIdAndReplacesAnother) {
  TestServer server;
  EXPECT_EQ(server.get("/healthz", {{"X-Request-Id", "abc-1"}}).header("x-request-id"), "abc-1");
  const std::string first =
      server.get("/healthz", {{"X-Request-Id", "a b"}}).header("x-request-id");
  const std::string second = server.get("/healthz").header("x-request-id");
  EXPECT_NE(first, "a b");
  EXPECT_FALSE(first.empty());
  EXPECT_NE(first, second);
}

TEST(Server, EchoesTheRequestIdOfAMalformedRequest) {
  TestServer server;
  RawClient client(server.port());
  client.send("GET /healthz HTTP/1.1\r\nX-Request-Id: abc-2\r\nA b: c\r\n\r\n");
  const auto answer = client.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 400);
  EXPECT_EQ(answer->header("x-request-id"), "abc-2");
}

TEST(Server, LogsWhoAskedWhatAndWhyItWasRefused) {
  CapturedLog log;
  {
    TestServer server([](ServerOptions& options) {
      options.access_log = true;
      options.max_body_mb = 1;
      options.admin_token = "a-secret";
    });
    RawClient client(server.port());
    const auto ask = [&](const std::string& method, const std::string& target,
                         const Headers& headers) {
      client.send(request_text(method, target, "", headers));
      EXPECT_TRUE(client.receive(method == "HEAD"));
    };
    ask("HEAD", "/healthz?a=b", {{"X-Request-Id", "r1"}});
    ask("GET", "/nothing", {{"X-Request-Id", "r2"}});
    ask("GET", "/v1/admin/jobs", {{"X-Request-Id", "r3"}, {"Authorization", "Bearer a-secreT"}});
    ask("POST", "/v1/classify", {{"X-Request-Id", "r4"}, {"Content-Length", "2000000"}});
    RawClient malformed(server.port());
    malformed.send("GET /healthz?a=b HTTP/1.1\r\nX-Request-Id: r5\r\nA b: c\r\n\r\n");
    EXPECT_TRUE(malformed.receive());
    RawClient nonsense(server.port());
    nonsense.send("nonsense\r\n\r\n");
    EXPECT_TRUE(nonsense.receive());
  }
  using ::testing::MatchesRegex;
  const std::string ms = " [0-9.]+ ms ";
  EXPECT_THAT(
      log.lines(),
      testing::IsSupersetOf(std::vector<testing::Matcher<std::string>>{
          MatchesRegex("info 127.0.0.1 HEAD /healthz 200" + ms + "request=r1"),
          MatchesRegex("info 127.0.0.1 GET /nothing 404" + ms + "request=r2 nothing is at .*"),
          MatchesRegex("info 127.0.0.1 GET /v1/admin/jobs 401" + ms +
                       "request=r3 the admin token is wrong"),
          MatchesRegex("info 127.0.0.1 POST /v1/classify 413" + ms +
                       "request=r4 the body exceeds 1 MiB.*"),
          MatchesRegex("info 127.0.0.1 GET /healthz 400" + ms + "request=r5 .*well-formed.*"),
          MatchesRegex("info 127.0.0.1 - - 400" + ms + "request=.* .*well-formed.*")}));
}

TEST(Server, RefusesMalformedAndAmbiguousRequests) {
  TestServer server;
  const std::string host = "Host: a\r\n";
  const std::pair<std::string, std::string> bad[] = {
      {"nonsense\r\n\r\n", "400"},
      {"GET /healthz HTTP/9.9\r\n" + host + "\r\n", "505"},
      {"GET /healthz HTTP/1.1\r\n\r\n", "400"},
      {"GET /healthz HTTP/1.1\r\n" + host + host + "\r\n", "400"},
      {"GET healthz HTTP/1.1\r\n" + host + "\r\n", "400"},
      {"GET /healthz HTTP/1.1\r\n" + host + "A b: c\r\n\r\n", "400"},
      {"GET /healthz HTTP/1.1\r\n" + host + "A : c\r\n\r\n", "400"},
      {"POST /v1/classify HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
       "400"},
      {"POST /v1/classify HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n", "400"},
      {"POST /v1/classify HTTP/1.1\r\n" + host + "Content-Length: 1x\r\n\r\n", "400"},
      {"POST /v1/classify HTTP/1.1\r\n" + host +
           "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       "400"},
      {"POST /v1/classify HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n", "501"},
      {"POST /v1/classify HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked, gzip\r\n\r\n", "501"},
      {"POST /v1/classify HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       "400"},
      {"POST /v1/classify HTTP/1.1\r\n" + host +
           "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
       "400"},
      {"POST /v1/classify HTTP/1.1\r\n" + host + "Expect: magic\r\nContent-Length: 2\r\n\r\n{}",
       "417"}};
  for (const auto& [request, status] : bad) {
    RawClient client(server.port());
    client.send(request);
    const std::string answer = client.receive_all();
    EXPECT_THAT(answer, HasSubstr(" " + status + " ")) << request;
    EXPECT_THAT(answer, HasSubstr("application/problem+json")) << request;
  }
  EXPECT_EQ(server.get("/healthz").status, 200);
}

TEST(Server, TakesChunkedBodies) {
  TestServer server;
  RawClient client(server.port());
  client.send(
      "POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n8\r\n{\"input\"\r\n7;x=y\r\n:\"red\"}\r\n0\r\nA: "
      "b\r\n\r\n");
  EXPECT_EQ(client.receive()->status, 200);
  client.send(request_text("GET", "/healthz"));
  EXPECT_EQ(client.receive()->status, 200);
}

TEST(Server, RefusesCompressedBodies) {
  TestServer server;
  const std::string body = R"({"input":"red"})";
  const auto ask = [&](const std::string& coding) {
    return server.request("POST", "/v1/embeddings", body,
                          {{"Content-Type", "application/json"}, {"Content-Encoding", coding}});
  };
  const Answer refused = ask("gzip");
  EXPECT_EQ(refused.status, 415);
  EXPECT_EQ(refused.header("accept-encoding"), "identity");
  EXPECT_THAT(refused.json()["detail"], HasSubstr("Content-Encoding is \"gzip\""));
  EXPECT_EQ(ask("Identity").status, 200);
}

TEST(Server, BoundsTheHeader) {
  TestServer server([](ServerOptions& options) { options.max_header_kb = 2; });
  for (const std::string& request :
       {request_text("GET", "/healthz", "", {{"A", std::string(3000, 'x')}}),
        "GET /" + std::string(3000, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /" + std::string(500'000, 'x')}) {
    RawClient client(server.port());
    client.send(request);
    EXPECT_THAT(client.receive_all(), HasSubstr(" 431 "));
  }
  EXPECT_EQ(server.get("/healthz", {{"A", std::string(1000, 'x')}}).status, 200);
}

TEST(Server, BoundsTheBody) {
  TestServer server([](ServerOptions& options) { options.max_body_mb = 1; });
  const std::string big(2 << 20, 'x');
  {
    RawClient client(server.port());
    client.send(request_text("POST", "/v1/classify", big, {{"Content-Type", "application/json"}}));
    const auto answer = client.receive();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 413);
    EXPECT_THAT(answer->json()["detail"], HasSubstr("1 MiB"));
  }
  RawClient client(server.port());
  client.send(
      "POST /v1/classify HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n");
  client.send(big);
  const auto answer = client.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 413);
  // Refused by its length alone, without the body.
  RawClient eager(server.port());
  eager.send(
      "POST /v1/classify HTTP/1.1\r\nHost: a\r\nX-Request-Id: long-1\r\n"
      "Content-Length: 18446744073709551615\r\n\r\n");
  const auto refused = eager.receive();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 413);
  EXPECT_EQ(refused->header("x-request-id"), "long-1");
}

std::string begun_body(std::size_t promised, std::size_t sent) {
  return fmt::format(
      "POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
      "Content-Length: {}\r\n\r\n{}",
      promised, std::string(sent, 'x'));
}

std::string begun_chunk(std::size_t promised, std::size_t sent) {
  return fmt::format(
      "POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{}",
      promised, std::string(sent, 'x'));
}

TEST(Server, BoundsTheBodiesOfAllConnections) {
  constexpr std::size_t kMost = 1'000'000;
  constexpr std::size_t kMore = 100'000;
  TestServer server(
      [](ServerOptions& options) { options.max_body_mb = options.max_buffered_mb = 1; });
  // Whether a body of kMore bytes would be waited for. None is sent.
  const auto has_room = [&] {
    RawClient client(server.port());
    client.send(
        fmt::format("POST /v1/classify HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                    "Content-Length: {}\r\n\r\n",
                    kMore));
    const auto answer = client.receive();
    if (!answer) throw std::runtime_error("no answer");
    if (answer->status == 100) return true;
    EXPECT_EQ(answer->status, 503);
    EXPECT_EQ(answer->header("retry-after"), "1");
    return false;
  };
  for (const auto& begin : {begun_body, begun_chunk}) {
    {
      RawClient holder(server.port());
      holder.send(begin(kMost, kMost - 1));
      while (has_room()) {
      }
      // Nobody knows how much of this one comes until it has come.
      RawClient client(server.port());
      client.send(begun_chunk(kMore, kMore));
      const auto answer = client.receive();
      ASSERT_TRUE(answer);
      EXPECT_EQ(answer->status, 503);
      EXPECT_EQ(answer->header("retry-after"), "1");
      EXPECT_EQ(server.get("/healthz").status, 200);
    }
    // The holder has left.
    while (!has_room()) {
    }
  }
}

TEST(Server, KeepsNobodyOutForABodyThatDoesNotCome) {
  TestServer server(
      [](ServerOptions& options) { options.max_body_mb = options.max_buffered_mb = 1; });
  std::vector<std::unique_ptr<RawClient>> stalled;
  for (int i = 0; i < 4; ++i) {
    stalled.push_back(std::make_unique<RawClient>(server.port()));
    // Told to go on, each is known to be waited for.
    stalled.back()->send(
        fmt::format("POST /v1/classify HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                    "Content-Type: application/json\r\n{}\r\n\r\n",
                    i % 2 == 0 ? "Content-Length: 1000000" : "Transfer-Encoding: chunked"));
    EXPECT_EQ(stalled.back()->receive()->status, 100);
    stalled.back()->send(i % 2 == 0 ? "{" : "f0000\r\n{");
  }
  RawClient client(server.port());
  client.send(begun_body(500'000, 500'000));
  EXPECT_EQ(client.receive()->status, 400);
  client.send(begun_chunk(500'000, 500'000) + "\r\n0\r\n\r\n");
  EXPECT_EQ(client.receive()->status, 400);
}

TEST(Server, TellsTheClientToContinue) {
  TestServer server;
  RawClient client(server.port());
  const std::string body = R"({"input":"red"})";
  client.send(
      "POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
      "Expect: 100-continue\r\nContent-Length: 15\r\n\r\n");
  EXPECT_EQ(client.receive()->status, 100);
  client.send(body);
  EXPECT_EQ(client.receive()->status, 200);
  // What is refused anyway is refused before the body is sent.
  client.send(
      "POST /nothing HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
  EXPECT_EQ(client.receive()->status, 404);
}

TEST(Server, IgnoresWhatAnOldClientExpects) {
  TestServer server([](ServerOptions& options) { options.transfer_timeout_sec = 1; });
  const auto ask = [&](const std::string& expect, const std::string& body) {
    RawClient client(server.port());
    client.send("POST /v1/embeddings HTTP/1.0\r\nContent-Type: application/json\r\nExpect: " +
                expect + "\r\nContent-Length: 15\r\n\r\n" + body);
    return client.receive_all();
  };
  EXPECT_THAT(ask("magic", R"({"input":"red"})"), StartsWith("HTTP/1.0 200 "));
  // Without a body, the first thing that comes is the answer to its absence.
  EXPECT_THAT(ask("100-continue", ""), StartsWith("HTTP/1.0 408 "));
}

TEST(Server, EndsSlowHeadersAndSlowBodies) {
  TestServer server([](ServerOptions& options) {
    options.header_timeout_sec = options.transfer_timeout_sec = options.idle_timeout_sec = 1;
  });
  RawClient silent(server.port());
  RawClient blank(server.port());
  blank.send("\r\n");
  RawClient slow(server.port());
  slow.send("GET /healthz HTTP/1.1\r\nHo");
  RawClient slow_body(server.port());
  slow_body.send(
      "POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
      "Content-Length: 10\r\n\r\n{");
  RawClient idle(server.port());
  idle.send(request_text("GET", "/healthz"));
  EXPECT_THAT(slow.receive_all(), HasSubstr(" 408 "));
  EXPECT_THAT(slow_body.receive_all(), HasSubstr(" 408 "));
  EXPECT_EQ(silent.receive_all(), "");
  EXPECT_EQ(blank.receive_all(), "");
  EXPECT_EQ(idle.receive()->status, 200);
  EXPECT_EQ(idle.receive_all(), "");
  EXPECT_EQ(server.get("/healthz").status, 200);
}

TEST(Server, BoundsTheConnections) {
  TestServer server([](ServerOptions& options) { options.max_connections = 2; });
  auto first = std::make_unique<RawClient>(server.port());
  RawClient second(server.port());
  const auto ask_both = [&] {
    for (RawClient* client : {first.get(), &second}) {
      client->send(request_text("GET", "/healthz"));
      EXPECT_EQ(client->receive()->status, 200);
    }
  };
  ask_both();
  RawClient third(server.port());
  third.send(request_text("GET", "/readyz"));
  // The one I/O thread would have come to the third client in the course of these.
  for (int i = 0; i < 20; ++i) ask_both();
  EXPECT_FALSE(third.has_received());
  first.reset();
  EXPECT_EQ(third.receive()->status, 200);
}

TEST(Server, LeavesDescriptorsForTheDatabase) {
  struct rlimit usual {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &usual), 0);
  struct rlimit few = usual;
  few.rlim_cur = 770;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  TestServer server;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &usual), 0);
  std::vector<std::unique_ptr<RawClient>> clients;
  const auto ask_all = [&] {
    for (const auto& client : clients) {
      client->send(request_text("GET", "/healthz"));
      EXPECT_EQ(client->receive()->status, 200);
    }
  };
  for (int i = 0; i < 16; ++i) clients.push_back(std::make_unique<RawClient>(server.port()));
  ask_all();
  RawClient one_more(server.port());
  one_more.send(request_text("GET", "/readyz"));
  ask_all();
  ask_all();
  EXPECT_FALSE(one_more.has_received());
  clients.pop_back();
  EXPECT_EQ(one_more.receive()->status, 200);
}

TEST(Server, AnswersFullQueuesAtOnceAndStaysHealthy) {
  Gate gate;
  TestServer server([](ServerOptions& options) {
    options.request_threads = 1;
    options.max_queued = 1;
  });
  server.before_images([&] { gate.enter(); });
  RawClient computing(server.port());
  computing.send(image_search());
  gate.wait_for(1);
  // One of six may wait, whichever comes first; the others are told to come back.
  std::mutex mutex;
  std::condition_variable changed;
  int refused = 0;
  std::vector<std::future<Answer>> others;
  for (int i = 0; i < 6; ++i) {
    others.push_back(std::async(std::launch::async, [&] {
      const Answer answer = server.get("/v1/catalogs");
      const std::lock_guard lock(mutex);
      refused += answer.status == 503 ? 1 : 0;
      changed.notify_all();
      return answer;
    }));
  }
  {
    std::unique_lock lock(mutex);
    EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(30), [&] { return refused == 5; }));
  }
  EXPECT_EQ(server.get("/healthz").status, 200);  // goes past the queue
  gate.open();
  EXPECT_EQ(computing.receive()->status, 200);
  int answered = 0;
  for (auto& other : others) {
    const Answer answer = other.get();
    if (answer.status == 200) {
      ++answered;
    } else {
      EXPECT_EQ(answer.header("retry-after"), "1");
      EXPECT_THAT(answer.json()["detail"], HasSubstr("waiting already"));
    }
  }
  EXPECT_EQ(answered, 1);
}

TEST(Server, RefusesQueriesWhenTooManyWaitForTheEncoder) {
  Gate gate;
  TestServer server({}, "flat", [](engine::EngineOptions& options) { options.max_waiting = 1; });
  server.before_images([&] { gate.enter(); });
  RawClient computing(server.port());
  computing.send(image_search());
  gate.wait_for(1);
  RawClient waiting(server.port());
  waiting.send(image_search());
  while (server.engine().encoder_use().batching.waiting == 0) std::this_thread::yield();
  const Answer refused = server.post_json("/v1/catalogs/shop/search", {{"text", "red"}});
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.header("retry-after"), "1");
  // What needs no encoder is answered.
  EXPECT_EQ(server.post_json("/v1/catalogs/shop/search", {{"product_id", "p1"}}).status, 200);
  gate.open();
  EXPECT_EQ(computing.receive()->status, 200);
  EXPECT_EQ(waiting.receive()->status, 200);
  EXPECT_EQ(server.post_json("/v1/catalogs/shop/search", {{"text", "red"}}).status, 200);
}

TEST(Server, DrainsWhatIsInFlight) {
  Gate gate;
  TestServer server;
  server.before_images([&] { gate.enter(); });
  RawClient idle(server.port());
  idle.send(request_text("GET", "/healthz"));
  EXPECT_EQ(idle.receive()->status, 200);
  RawClient computing(server.port());
  computing.send(image_search() + request_text("GET", "/healthz"));
  gate.wait_for(1);
  server.stop();
  EXPECT_EQ(idle.receive_all(), "");  // idle connections end at once
  EXPECT_THROW(RawClient(server.port()), std::runtime_error);
  gate.open();
  const auto answer = computing.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->header("connection"), "close");
  EXPECT_EQ(computing.receive_all(), "");
  server.join();
}

TEST(Server, ClosesWhatOutlastsTheDrainTimeout) {
  TestServer server([](ServerOptions& options) { options.drain_timeout_sec = 0; });
  RawClient slow(server.port());
  slow.send(
      "POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
      "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n");
  EXPECT_EQ(slow.receive()->status, 100);
  server.stop();
  EXPECT_EQ(slow.receive_all(), "");
  server.join();
}

TEST(Server, TellsOfRequestsThatOutlastTheirClosing) {
  for (const bool second_stop : {false, true}) {
    Gate gate;
    TestServer owner;
    owner.before_images([&] { gate.enter(); });
    ServerOptions options;
    options.port = 0;
    options.drain_timeout_sec = second_stop ? 3600 : 0;
    Server server(owner.engine(), options);
    std::promise<void> overrun;
    server.on_overrun([&] { overrun.set_value(); });
    std::thread runner([&] { server.run(); });
    RawClient client(server.port());
    client.send(image_search());
    gate.wait_for(1);
    server.stop();
    if (second_stop) server.stop();
    EXPECT_EQ(overrun.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
    EXPECT_EQ(client.receive_all(), "");
    gate.open();
    runner.join();
  }
}

TEST(Server, StopsBeforeItRuns) {
  TestServer server;
  ServerOptions options;
  options.port = 0;
  Server other(server.engine(), options);
  other.stop();
  other.run();
}

TEST(Server, StopsOnASignal) {
  TestServer server;
  ServerOptions options;
  options.port = 0;
  Server other(server.engine(), options);
  other.stop_on_signal(SIGUSR1);
  std::thread runner([&] { other.run(); });
  RawClient client(other.port());
  client.send(request_text("GET", "/healthz"));
  EXPECT_EQ(client.receive()->status, 200);
  ::raise(SIGUSR1);
  runner.join();
}

TEST(Server, StopsOnASignalWithoutAnyConnection) {
  TestServer server;
  ServerOptions options;
  options.port = 0;
  Server other(server.engine(), options);
  other.stop_on_signal(SIGUSR1);
  ::raise(SIGUSR1);
  other.run();
}

TEST(Server, AnswersManyClientsAtOnce) {
  TestServer server([](ServerOptions& options) {
    options.io_threads = 2;
    options.request_threads = 3;
    options.max_queued = 1000;
  });
  std::vector<std::future<int>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::async(std::launch::async, [&server, i] {
      RawClient client(server.port());
      int good = 0;
      for (int j = 0; j < 20; ++j) {
        client.send((i + j) % 2 == 0 ? image_search()
                                     : request_text("GET", "/v1/catalogs/shop/products/p1/image"));
        const auto answer = client.receive();
        good += answer && answer->status == 200 ? 1 : 0;
      }
      return good;
    }));
  }
  for (auto& client : clients) EXPECT_EQ(client.get(), 20);
}

TEST(Server, SurvivesClientsThatLeave) {
  Gate gate;
  TestServer server;
  server.before_images([&] { gate.enter(); });
  for (int i = 0; i < 20; ++i) {
    RawClient client(server.port());
    client.send(i % 2 == 0 ? image_search().substr(0, 100 + 5 * static_cast<std::size_t>(i))
                           : request_text("GET", "/app.js"));
  }
  {
    RawClient client(server.port());
    client.send(image_search());
    gate.wait_for(1);
  }
  gate.open();
  EXPECT_EQ(server.get("/healthz").status, 200);
}

TEST(Server, LogsRequestsThatBreakOff) {
  CapturedLog log;
  {
    TestServer server([](ServerOptions& options) {
      options.access_log = true;
      options.max_connections = 1;
      options.drain_timeout_sec = 0;
    });
    for (const std::string& sent :
         {std::string(), std::string("\r\n"), std::string("\r\nGET /heal"),
          std::string("GET /readyz HTTP/1.1\r\nHo"), begun_body(10, 1), begun_chunk(10, 1)}) {
      RawClient(server.port()).send(sent);
      // Answered once the one connection has ended.
      EXPECT_EQ(server.get("/healthz").status, 200);
    }
    RawClient slow(server.port());
    slow.send(
        "PUT /v1/catalogs/shop/products/p1 HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: r1\r\n"
        "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n");
    EXPECT_EQ(slow.receive()->status, 100);
    server.stop();
    server.join();
  }
  std::vector<std::string> broken_off;
  for (const std::string& line : log.lines()) {
    if (line.find("/healthz 200") == std::string::npos && line.starts_with("info 127.0.0.1")) {
      broken_off.push_back(line);
    }
  }
  using ::testing::MatchesRegex;
  const std::string client = " 499 [0-9.]+ ms request=.+ the client closed the connection .*";
  EXPECT_THAT(
      broken_off,
      testing::ElementsAre(MatchesRegex("info 127.0.0.1 - -" + client),
                           MatchesRegex("info 127.0.0.1 GET /readyz" + client),
                           MatchesRegex("info 127.0.0.1 POST /v1/classify" + client),
                           MatchesRegex("info 127.0.0.1 POST /v1/classify" + client),
                           MatchesRegex("info 127.0.0.1 PUT /v1/catalogs/shop/products/p1 499 .+ "
                                        "request=r1 the server closed the connection .*")));
}

}  // namespace
}  // namespace vitrine::http
