#pragma once

#include <functional>
#include <memory>
#include <string>

namespace vitrine::engine {
class Engine;
}

namespace vitrine::http {

/// How the server listens and what a client may cost it. Every limit is per server unless it says
/// otherwise; validate() names the first field that is out of range.
struct ServerOptions {
  /// IPv4 or IPv6 address to listen on. "127.0.0.1" is reachable from this machine only; "0.0.0.0"
  /// and "::" from everywhere.
  std::string address = "127.0.0.1";
  /// TCP port, 0 to 65535; 0 takes a free one, which Server::port() tells.
  int port = 8080;
  /// Threads that move bytes and parse headers. They never encode or search: one is enough for
  /// thousands of requests a second. Valid: [1, 64].
  int io_threads = 1;
  /// Requests in hand at once, each on a thread. The engine encodes together those that wait for
  /// the encoder, and bounds how many of them compute. Valid: [1, 1024].
  int request_threads = 64;
  /// Requests that may wait until they are taken in hand; more are answered 503 with Retry-After.
  /// Valid: [1, 100000].
  int max_queued = 64;
  /// Largest request body in MiB; larger ones are answered 413. A base64 image needs 4/3 of its
  /// size. Valid: [1, 1024].
  int max_body_mb = 16;
  /// Request bodies held in memory at once in MiB, over all connections, counted as they arrive; a
  /// request that goes beyond it is answered 503. Valid: [max_body_mb, 65536].
  int max_buffered_mb = 256;
  /// Largest request line plus header in KiB; larger ones are answered 431. Valid: [1, 1024].
  int max_header_kb = 16;
  /// Open connections; while that many are open, new ones wait in the kernel's backlog. Valid:
  /// [1, 100000].
  int max_connections = 1024;
  /// Time a client may take to send one request's header, counted anew for each request; longer is
  /// answered 408. Valid: [1, 3600].
  int header_timeout_sec = 10;
  /// Time a client may take to send one request's body, and to take one answer. Valid: [1, 3600].
  int transfer_timeout_sec = 60;
  /// Time a connection may stay open between two requests. Valid: [1, 86400].
  int idle_timeout_sec = 60;
  /// Time stop() gives requests in flight before it closes their connections. Valid: [0, 3600].
  int drain_timeout_sec = 20;
  /// What "Authorization: Bearer ..." must carry for the routes of Access::kAdmin. Empty: only
  /// clients on this machine may call them. At most 1024 visible ASCII characters.
  std::string admin_token;
  /// Origins whose pages may call the routes of Access::kPublic and read the answers, with commas
  /// between: "https://shop.example, http://localhost:3000". "*": pages of every origin. Empty:
  /// none but the server's own.
  std::string cors_origins;
  /// One log line a request, at level info.
  bool access_log = true;

  /// Throws InvalidArgument naming the field, its value and the valid range.
  void validate() const;
};

/// The HTTP server over one Engine. It listens from construction on, so port() is known before
/// run(); connections are answered once run() is called.
///
/// Thread-safe: run() is called once, from any thread; stop() and port() from any thread at any
/// time. The engine must outlive the server.
class Server {
 public:
  /// Throws InvalidArgument (options) or Unavailable (the address cannot be listened on, or there
  /// are no threads).
  Server(engine::Engine& engine, ServerOptions options);
  /// run() must have returned, or never have been called.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Serves until stop() is called and the requests in flight are answered, or the drain timeout
  /// is over. Requests that are being computed then are computed to their end first: on_overrun().
  /// Throws Unavailable when there are no threads.
  void run();

  /// Begins to drain and returns at once: no new connections, idle ones are closed, requests in
  /// flight are answered. A second call closes what is still open. Not for signal handlers: use
  /// stop_on_signal.
  void stop();

  /// What to do, on a thread that serves, when requests are still being computed half a second
  /// after their connections were closed: nothing can interrupt them, but the process may end. Call
  /// before run().
  void on_overrun(std::function<void()> action);

  /// Makes the signal (SIGTERM, SIGINT) call stop(). Call before run().
  void stop_on_signal(int signal_number);

  /// The port listened on.
  int port() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vitrine::http
