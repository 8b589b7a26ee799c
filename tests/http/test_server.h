#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/file.h"
#include "engine/engine.h"
#include "http/server.h"
#include "support.h"

namespace vitrine::http {

/// One answer as it came over the wire.
struct Answer {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  std::string body;

  /// Empty when there is no such header.
  std::string header(const std::string& name) const;
  /// The body; fails the test when it is not JSON.
  nlohmann::json json() const;
};

using Headers = std::vector<std::pair<std::string, std::string>>;

/// A blocking TCP connection to 127.0.0.1. What blocks for longer than ten seconds throws.
class RawClient {
 public:
  explicit RawClient(int port);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  /// False when the server has closed the connection.
  bool send(std::string_view bytes);
  /// The next answer; nothing when the server closes the connection first.
  /// to_head: the answer belongs to a HEAD request and has no body.
  std::optional<Answer> receive(bool to_head = false);
  /// Whether bytes have come, or the server has closed, since the last receive(). Does not wait.
  bool has_received() const;
  /// Reads until the server closes; what came before.
  std::string receive_all();

 private:
  bool read_more();

  int socket_;
  std::string received_;
};

/// A server on a free port over an engine with a ColourEncoder and a catalog "shop" of 12 products.
class TestServer {
 public:
  /// change, change_engine: what the test wants different from the defaults.
  explicit TestServer(const std::function<void(ServerOptions&)>& change = {},
                      const std::string& kind = "flat",
                      const std::function<void(engine::EngineOptions&)>& change_engine = {});
  ~TestServer();

  int port() const { return server_->port(); }
  engine::Engine& engine() { return *engine_.engine; }
  engine::TestCatalog& catalog() { return catalog_; }
  /// Called by the encoder before each batch of images. Set while nothing is encoded.
  void before_images(std::function<void()> hook) { engine_.calls->before_images = std::move(hook); }

  /// On a connection of its own.
  Answer request(const std::string& method, const std::string& target, const std::string& body = "",
                 const Headers& headers = {});
  Answer get(const std::string& target, const Headers& headers = {});
  Answer post_json(const std::string& target, const nlohmann::json& body,
                   const Headers& headers = {});

  void stop() { server_->stop(); }
  /// Waits for run() to return, which a call of stop() must have caused.
  void join();

 private:
  TemporaryDirectory data_dir_;
  engine::TestCatalog catalog_{12};
  engine::TestEngine engine_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

/// "GET / HTTP/1.1" with Host and the headers, Content-Length when there is a body.
std::string request_text(const std::string& method, const std::string& target,
                         const std::string& body = "", const Headers& headers = {});

/// A multipart body with the boundary "XX".
std::string multipart_body(const std::vector<std::pair<std::string, std::string>>& fields,
                           const std::string& image = "");

/// A part to put before a multipart_body(), as browsers send a Blob.
std::string blob_part(const std::string& name, const std::string& type, const std::string& content);

}  // namespace vitrine::http
