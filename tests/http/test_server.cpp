#include "test_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <stdexcept>

#include "http/message.h"

namespace vitrine::http {

std::string Answer::header(const std::string& name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

nlohmann::json Answer::json() const {
  nlohmann::json parsed = nlohmann::json::parse(body, nullptr, false);
  EXPECT_FALSE(parsed.is_discarded()) << status << " " << body.substr(0, 500);
  return parsed;
}

RawClient::RawClient(int port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const timeval limit{.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    ::close(socket_);
    throw std::runtime_error("cannot connect");
  }
}

RawClient::~RawClient() { ::close(socket_); }

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool RawClient::read_more() {
  char buffer[16 * 1024];
  const ssize_t count = ::recv(socket_, buffer, sizeof buffer, 0);
  if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    throw std::runtime_error("no answer within ten seconds");
  }
  if (count <= 0) return false;
  received_.append(buffer, static_cast<std::size_t>(count));
  return true;
}

std::optional<Answer> RawClient::receive(bool to_head) {
  std::size_t end;
  while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
    if (!read_more()) return std::nullopt;
  }
  Answer answer;
  std::string_view head(received_.data(), end + 2);
  answer.status = std::stoi(std::string(head.substr(9, 3)));
  head.remove_prefix(head.find("\r\n") + 2);
  while (!head.empty()) {
    const std::size_t line_end = head.find("\r\n");
    const std::string_view line = head.substr(0, line_end);
    const std::size_t colon = line.find(':');
    answer.headers.emplace_back(lower_case(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
    head.remove_prefix(line_end + 2);
  }
  received_.erase(0, end + 4);
  const std::string length = answer.header("content-length");
  const std::size_t wanted = to_head || length.empty() ? 0 : std::stoul(length);
  while (received_.size() < wanted) {
    if (!read_more()) return std::nullopt;
  }
  answer.body = received_.substr(0, wanted);
  received_.erase(0, wanted);
  return answer;
}

bool RawClient::has_received() const {
  char next = 0;
  return !received_.empty() || ::recv(socket_, &next, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

std::string RawClient::receive_all() {
  while (read_more()) {
  }
  return received_;
}

TestServer::TestServer(const std::function<void(ServerOptions&)>& change, const std::string& kind,
                       const std::function<void(engine::EngineOptions&)>& change_engine)
    : engine_(data_dir_.path(), 'a', {}, 2, change_engine) {
  engine_->index_catalog(catalog_.request("shop", kind));
  ServerOptions options;
  options.port = 0;
  options.access_log = false;
  if (change) change(options);
  server_ = std::make_unique<Server>(*engine_.engine, options);
  thread_ = std::thread([this] { server_->run(); });
}

TestServer::~TestServer() {
  server_->stop();
  join();
}

void TestServer::join() {
  if (thread_.joinable()) thread_.join();
}

Answer TestServer::request(const std::string& method, const std::string& target,
                           const std::string& body, const Headers& headers) {
  RawClient client(port());
  client.send(request_text(method, target, body, headers));
  auto answer = client.receive(method == "HEAD");
  if (!answer) throw std::runtime_error("the server closed the connection without an answer");
  return *answer;
}

Answer TestServer::get(const std::string& target, const Headers& headers) {
  return request("GET", target, "", headers);
}

Answer TestServer::post_json(const std::string& target, const nlohmann::json& body,
                             const Headers& headers) {
  Headers all = headers;
  all.emplace_back("Content-Type", "application/json");
  return request("POST", target, body.dump(), all);
}

std::string request_text(const std::string& method, const std::string& target,
                         const std::string& body, const Headers& headers) {
  std::string text = fmt::format("{} {} HTTP/1.1\r\nHost: 127.0.0.1\r\n", method, target);
  for (const auto& [name, value] : headers) text += fmt::format("{}: {}\r\n", name, value);
  if (!body.empty()) text += fmt::format("Content-Length: {}\r\n", body.size());
  return text + "\r\n" + body;
}

std::string multipart_body(const std::vector<std::pair<std::string, std::string>>& fields,
                           const std::string& image) {
  std::string body;
  for (const auto& [name, value] : fields) {
    body += fmt::format("--XX\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n{}\r\n", name,
                        value);
  }
  if (!image.empty()) {
    body +=
        "--XX\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.png\"\r\n"
        "Content-Type: image/png\r\n\r\n" +
        image + "\r\n";
  }
  return body + "--XX--\r\n";
}

std::string blob_part(const std::string& name, const std::string& type,
                      const std::string& content) {
  return fmt::format(
      "--XX\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"blob\"\r\n"
      "Content-Type: {}\r\n\r\n{}\r\n",
      name, type, content);
}

}  // namespace vitrine::http
