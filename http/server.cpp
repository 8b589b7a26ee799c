#include "http/server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/descriptor.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "http/connection.h"
#include "http/cors.h"
#include "http/router.h"

namespace vitrine::http {
namespace {

namespace net = boost::asio;
using boost::system::error_code;
using net::ip::tcp;

constexpr std::chrono::milliseconds kAcceptRetry{100};
/// Closed connections end within this time, unless their request is being computed.
constexpr std::chrono::milliseconds kClosingTime{500};

void check_range(const char* name, int value, int low, int high) {
  if (value < low || value > high) {
    throw invalid_argument(
        fmt::format("server.{} is {}; it must be {} to {}", name, value, low, high));
  }
}

net::ip::address parse_address(const std::string& text) {
  error_code error;
  const net::ip::address address = net::ip::make_address(text, error);
  if (error) {
    throw invalid_argument(fmt::format(
        "server.address is \"{}\"; it must be an IP address such as 127.0.0.1, 0.0.0.0 or ::",
        text));
  }
  return address;
}

/// As many connections as leave descriptors for what the database and images need.
int possible_connections(int wanted) {
  constexpr std::uint64_t kOtherDescriptors = 768;  // RocksDB alone may keep 512 files open
  const std::uint64_t limit = descriptor_limit();
  const std::uint64_t possible =
      std::max<std::uint64_t>(16, limit - std::min(limit, kOtherDescriptors));
  if (possible >= static_cast<std::uint64_t>(wanted)) return wanted;
  spdlog::warn(
      "server.max_connections is {}, but only {} are served at once: the process may open {} files "
      "(ulimit -n), and {} are for the database and images",
      wanted, possible, limit, kOtherDescriptors);
  return static_cast<int>(possible);
}

ServerOptions validated(ServerOptions options) {
  options.validate();
  options.max_connections = possible_connections(options.max_connections);
  return options;
}

}  // namespace

void ServerOptions::validate() const {
  parse_address(address);
  check_range("port", port, 0, 65535);
  check_range("io_threads", io_threads, 1, 64);
  check_range("request_threads", request_threads, 1, 1024);
  check_range("max_queued", max_queued, 1, 100'000);
  check_range("max_body_mb", max_body_mb, 1, 1024);
  check_range("max_buffered_mb", max_buffered_mb, max_body_mb, 65536);
  check_range("max_header_kb", max_header_kb, 1, 1024);
  check_range("max_connections", max_connections, 1, 100'000);
  check_range("header_timeout_sec", header_timeout_sec, 1, 3600);
  check_range("transfer_timeout_sec", transfer_timeout_sec, 1, 3600);
  check_range("idle_timeout_sec", idle_timeout_sec, 1, 86400);
  check_range("drain_timeout_sec", drain_timeout_sec, 0, 3600);
  if (admin_token.size() > 1024 || !std::all_of(admin_token.begin(), admin_token.end(),
                                                [](char c) { return c > ' ' && c < 0x7f; })) {
    throw invalid_argument("server.admin_token must be at most 1024 visible ASCII characters");
  }
  CorsPolicy{cors_origins};  // throws for what is no origin
}

/// The listener, its timers and the signals live on one strand; each connection on its own.
class Server::Impl {
 public:
  Impl(engine::Engine& engine, ServerOptions options)
      : options_(validated(std::move(options))),
        strand_(net::make_strand(io_)),
        acceptor_(strand_),
        wake_(strand_),
        drain_timer_(strand_),
        signals_(strand_),
        work_(net::make_work_guard(io_)),
        pool_(options_.request_threads, static_cast<std::size_t>(options_.max_queued), 1),
        context_{.services = {engine, draining_},
                 .options = options_,
                 .cors = CorsPolicy(options_.cors_origins),
                 .request_pool = pool_,
                 .draining = draining_,
                 .closing = closing_,
                 .id_prefix = fmt::format("{:08x}", std::random_device{}())} {
    listen();
  }

  void run() {
    spdlog::debug("listening on http://{}:{}",
                  options_.address.find(':') == std::string::npos ? options_.address
                                                                  : '[' + options_.address + ']',
                  port());
    net::co_spawn(strand_, accept(), [](std::exception_ptr failure) { rethrow(failure); });
    wait_for_signal();
    std::vector<std::jthread> threads;
    try {
      for (int i = 1; i < options_.io_threads; ++i) threads.emplace_back([this] { io_.run(); });
      io_.run();
    } catch (const std::system_error& error) {
      io_.stop();  // or the others would never end
      throw unavailable(fmt::format("serving ended with {} of {} I/O threads: {}",
                                    threads.size() + 1, options_.io_threads, error.what()));
    } catch (...) {
      io_.stop();
      throw;
    }
  }

  void stop() {
    net::post(strand_, [this] { begin_drain(); });
  }

  void stop_on_signal(int signal_number) {
    error_code error;
    signals_.add(signal_number, error);
    if (error) {
      throw invalid_argument(
          fmt::format("signal {} cannot be caught: {}", signal_number, error.message()));
    }
  }

  void on_overrun(std::function<void()> action) { overrun_ = std::move(action); }

  int port() const { return port_; }

 private:
  static void rethrow(const std::exception_ptr& failure) {
    if (failure) std::rethrow_exception(failure);
  }

  void listen() {
    const tcp::endpoint endpoint(parse_address(options_.address),
                                 static_cast<std::uint16_t>(options_.port));
    error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(net::socket_base::reuse_address(true), error);
    if (!error && endpoint.protocol() == tcp::v6()) {
      acceptor_.set_option(net::ip::v6_only(false), error);
    }
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(net::socket_base::max_listen_connections, error);
    if (error) {
      throw unavailable(fmt::format("cannot listen on {} port {}: {}", options_.address,
                                    options_.port, error.message()));
    }
    port_ = acceptor_.local_endpoint().port();
  }

  net::awaitable<void> accept() {
    while (!draining_) {
      if (connection_count() >= static_cast<std::size_t>(options_.max_connections)) {
        co_await wait(std::chrono::hours(1));  // release() wakes it
        continue;
      }
      // Its own strand; sockets and their handlers never meet the listener's.
      tcp::socket socket{net::any_io_executor(net::make_strand(io_))};
      error_code error;
      co_await acceptor_.async_accept(socket, net::redirect_error(net::use_awaitable, error));
      if (draining_) break;
      if (error) {
        // Out of file descriptors, or a client that left early: the listener goes on.
        spdlog::warn("accepting a connection failed: {}", error.message());
        co_await wait(kAcceptRetry);
        continue;
      }
      try {
        start(std::move(socket));
        continue;
      } catch (const std::exception& failure) {
        spdlog::warn("a connection could not be taken: {}", failure.what());
      }
      co_await wait(kAcceptRetry);
    }
  }

  net::awaitable<void> wait(std::chrono::milliseconds time) {
    wake_.expires_after(time);
    error_code ignored;
    co_await wake_.async_wait(net::redirect_error(net::use_awaitable, ignored));
  }

  void start(tcp::socket socket) {
    const net::any_io_executor executor = socket.get_executor();
    auto connection = std::make_shared<Connection>(std::move(socket), context_);
    {
      const std::lock_guard lock(mutex_);
      connections_.insert(connection);
    }
    const auto ended = [this, connection](std::exception_ptr failure) {
      if (failure) {
        try {
          std::rethrow_exception(failure);
        } catch (const std::exception& error) {
          spdlog::error("a connection ended: {}", error.what());
        }
      }
      release(connection);
    };
    try {
      net::co_spawn(executor, connection->run(), ended);
    } catch (...) {
      release(connection);
      throw;
    }
  }

  void release(const std::shared_ptr<Connection>& connection) {
    {
      const std::lock_guard lock(mutex_);
      connections_.erase(connection);
    }
    net::post(strand_, [this] {
      wake_.cancel();
      end_if_drained();
    });
  }

  std::size_t connection_count() const {
    const std::lock_guard lock(mutex_);
    return connections_.size();
  }

  std::vector<std::shared_ptr<Connection>> connections() const {
    const std::lock_guard lock(mutex_);
    return {connections_.begin(), connections_.end()};
  }

  void wait_for_signal() {
    signals_.async_wait([this](const error_code& error, int number) {
      if (error) return;
      spdlog::info("signal {}: stopping", number);
      wait_for_signal();  // first: begin_drain() may cancel it at once
      begin_drain();
    });
  }

  // Everything below runs on the strand.

  void begin_drain() {
    if (draining_) {
      close_all();
      return;
    }
    draining_ = true;
    error_code ignored;
    acceptor_.close(ignored);
    wake_.cancel();
    for (const auto& connection : connections()) connection->drain();
    drain_timer_.expires_after(std::chrono::seconds(options_.drain_timeout_sec));
    drain_timer_.async_wait([this](const error_code& cancelled) {
      if (cancelled) return;
      if (connection_count() > 0) {
        spdlog::warn("{} connections did not end in {} s and are closed", connection_count(),
                     options_.drain_timeout_sec);
      }
      close_all();
    });
    end_if_drained();
  }

  void close_all() {
    if (closing_.exchange(true)) return;
    for (const auto& connection : connections()) connection->close();
    drain_timer_.expires_after(kClosingTime);
    drain_timer_.async_wait([this](const error_code& cancelled) {
      const std::size_t computed = connection_count();
      if (!cancelled && computed > 0 && overrun_) {
        spdlog::warn("{} requests are still being computed and are abandoned", computed);
        overrun_();
      }
    });
  }

  void end_if_drained() {
    if (!draining_ || connection_count() > 0) return;
    drain_timer_.cancel();
    error_code ignored;
    signals_.cancel(ignored);
    work_.reset();
  }

  const ServerOptions options_;
  std::function<void()> overrun_;
  int port_ = 0;
  std::atomic<bool> draining_ = false;
  std::atomic<bool> closing_ = false;

  net::io_context io_;
  net::strand<net::io_context::executor_type> strand_;
  tcp::acceptor acceptor_;
  net::steady_timer wake_;
  net::steady_timer drain_timer_;
  net::signal_set signals_;
  net::executor_work_guard<net::io_context::executor_type> work_;

  ThreadPool pool_;  // after io_, which its tasks post to
  ConnectionContext context_;

  mutable std::mutex mutex_;
  std::set<std::shared_ptr<Connection>> connections_;  // guarded by mutex_
};

Server::Server(engine::Engine& engine, ServerOptions options)
    : impl_(std::make_unique<Impl>(engine, std::move(options))) {}
Server::~Server() = default;
void Server::run() { impl_->run(); }
void Server::stop() { impl_->stop(); }
void Server::stop_on_signal(int signal_number) { impl_->stop_on_signal(signal_number); }
void Server::on_overrun(std::function<void()> action) { impl_->on_overrun(std::move(action)); }
int Server::port() const { return impl_->port(); }

}  // namespace vitrine::http
