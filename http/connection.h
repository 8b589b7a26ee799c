#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>  // Boost 1.74's awaitable.hpp needs std::exchange and does not include it

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "base/thread_pool.h"
#include "http/cors.h"
#include "http/router.h"
#include "http/server.h"

namespace vitrine::http {

/// What the connections of one server share. Outlives them; thread-safe.
struct ConnectionContext {
  Services services;
  const ServerOptions& options;
  const CorsPolicy cors;
  ThreadPool& request_pool;
  const std::atomic<bool>& draining;  ///< finish the request in flight, then close
  const std::atomic<bool>& closing;   ///< close now
  /// Bytes of request bodies in memory.
  std::atomic<std::uint64_t> buffered_bytes{0};
  std::atomic<std::uint64_t> requests{0};
  /// Tells the request ids of two runs of the server apart.
  std::string id_prefix;
};

/// One client's connection: reads requests one after the other, answers each.
/// Everything runs on the strand that is the socket's executor; drain() and close() may be called
/// from any thread.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, ConnectionContext& context);

  /// Until the client leaves, misbehaves or idles, or the server stops. Call once, on the strand.
  boost::asio::awaitable<void> run();

  /// Closes the connection if it waits for a request; otherwise it ends after the present one.
  void drain();
  /// Closes the connection whatever it does. A request being computed is computed to its end.
  void close();

 private:
  using HeaderParser = boost::beast::http::request_parser<boost::beast::http::empty_body>;
  class BodyBudget;

  /// How a request ends.
  struct Outcome {
    Response response;
    Access access = Access::kPublic;  ///< of the route, once it is found
    bool keep_alive = false;
    bool unread_body = false;  ///< the client may still be sending
    bool silent = false;       ///< nobody is left to answer
  };

  /// False when there will be no further request.
  boost::asio::awaitable<bool> wait_for_request();
  /// Whether the buffer holds the beginning of a request. Drops the empty lines before it;
  /// empty_lines: how many were dropped so far.
  bool request_began(int& empty_lines);
  boost::asio::awaitable<void> serve_request();
  boost::asio::awaitable<void> answer(HeaderParser& parser, Request& request, Outcome& outcome);
  boost::asio::awaitable<void> read_body(HeaderParser& parser, Request& request, Outcome& outcome,
                                         BodyBudget& budget);
  boost::asio::awaitable<void> run_handler(const Route& route, const Request& request,
                                           Response& response);
  boost::asio::awaitable<void> write(const Request& request, Outcome& outcome, bool head_only,
                                     unsigned version);
  /// Takes what the client still sends for a while, so that its system does not throw the answer
  /// away because of a reset.
  boost::asio::awaitable<void> linger();

  /// Cancels what the socket does when the time is over, and says so in timed_out_.
  void arm(std::chrono::milliseconds timeout);
  void disarm();
  void watch(std::uint64_t arming);

  /// method: as sent, HEAD included.
  void log(std::string_view method, const Request& request, const Response& response,
           std::chrono::steady_clock::time_point began) const;
  std::string next_request_id();

  boost::asio::ip::tcp::socket socket_;
  ConnectionContext& context_;
  boost::beast::flat_buffer buffer_;
  boost::asio::steady_timer timer_;
  std::uint64_t arming_ = 0;  ///< which arm() the timer works for
  bool armed_ = false;
  bool timed_out_ = false;
  bool waiting_ = false;  ///< between two requests
  bool first_request_ = true;
  bool keep_open_ = true;
  std::string peer_;  ///< address, for the log
  bool peer_is_loopback_ = false;
};

}  // namespace vitrine::http
