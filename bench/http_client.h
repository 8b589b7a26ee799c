#pragma once

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/version.hpp>
#include <stdexcept>
#include <string>

namespace vitrine::bench {

/// One keep-alive connection that sends JSON. Not thread-safe.
class HttpClient {
 public:
  /// Throws boost::system::system_error, as every method does.
  HttpClient(const std::string& host, const std::string& port) : host_(host), socket_(io_) {
    namespace net = boost::asio;
    net::connect(socket_, net::ip::tcp::resolver(io_).resolve(host, port));
    socket_.set_option(net::ip::tcp::no_delay(true));
  }

  /// The answer's body. Throws std::runtime_error when its status is not of success.
  std::string send(boost::beast::http::verb method, const std::string& target, std::string body) {
    namespace http = boost::beast::http;
    http::request<http::string_body> request(method, target, 11);
    request.set(http::field::host, host_);
    request.set(http::field::content_type, "application/json");
    request.body() = std::move(body);
    request.prepare_payload();
    http::write(socket_, request);
    http::response<http::string_body> answer;
    http::read(socket_, buffer_, answer);
    if (http::to_status_class(answer.result()) != http::status_class::successful) {
      throw std::runtime_error(std::to_string(answer.result_int()) + ": " + answer.body());
    }
    return std::move(answer.body());
  }

 private:
  const std::string host_;
  boost::asio::io_context io_;
  boost::asio::ip::tcp::socket socket_;
  boost::beast::flat_buffer buffer_;
};

}  // namespace vitrine::bench
