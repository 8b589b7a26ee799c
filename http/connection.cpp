#include "http/connection.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/version.hpp>
#include <ctime>
#include <exception>
#include <functional>
#include <limits>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "http/access.h"
#include "http/problem.h"
#include "http/routes.h"
#include "http/url.h"

namespace vitrine::http {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace wire = boost::beast::http;
using boost::system::error_code;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

/// Read beyond a header in one go, so that header_limit and not the buffer ends a long header.
constexpr std::size_t kReadAheadBytes = std::size_t{64} << 10;
constexpr seconds kLingerTime{2};
constexpr std::size_t kMaxRequestIdBytes = 64;
/// Passed over before a request (RFC 9112, section 2.2); one more is part of a malformed request.
constexpr int kMaxEmptyLines = 4;
/// In the log of a request that got no answer, as nginx has it. Nobody is sent it.
constexpr int kUnansweredStatus = 499;

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

/// RFC 9110's date format, which no locale changes.
std::string http_date() {
  constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[utc.tm_wday], utc.tm_mday,
                     kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

bool is_request_id(std::string_view text) {
  return !text.empty() && text.size() <= kMaxRequestIdBytes &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

HttpError timed_out(std::string_view what, int limit_sec) {
  return {408, "request_timeout", fmt::format("the {} took more than {} s", what, limit_sec)};
}

HttpError body_too_large(const ServerOptions& options) {
  return {413, "resource_exhausted",
          fmt::format("the body exceeds {} MiB; send a smaller image", options.max_body_mb)};
}

HttpError bodies_too_large() {
  return {503, "unavailable", "too many large requests at once; try again", {{"Retry-After", "1"}}};
}

/// What a failed read means for the client; nothing when the client is gone.
std::exception_ptr read_failure(const error_code& error, const ServerOptions& options) {
  if (error == wire::error::header_limit || error == wire::error::buffer_overflow) {
    return std::make_exception_ptr(
        HttpError(431, "header_too_large",
                  fmt::format("the request line and header exceed {} KiB", options.max_header_kb)));
  }
  if (error == wire::error::body_limit) {
    return std::make_exception_ptr(body_too_large(options));
  }
  if (error == wire::error::bad_version) {
    return std::make_exception_ptr(
        HttpError(505, "http_version_not_supported", "only HTTP/1.1 and HTTP/1.0 are spoken here"));
  }
  if (error == wire::error::end_of_stream || error == wire::error::partial_message ||
      error.category() != wire::make_error_code(wire::error::bad_method).category()) {
    return nullptr;
  }
  return std::make_exception_ptr(
      invalid_argument("the request is not well-formed HTTP: " + error.message()));
}

/// The Expect header, which is to be ignored before HTTP/1.1 (RFC 9110, section 10.1.1).
std::string_view expectation(const wire::request_header<>& header) {
  return header.version() < 11 ? std::string_view{} : view(header[wire::field::expect]);
}

/// Refuses what two implementations could read differently: request smuggling lives there.
void refuse_ambiguity(const wire::request_header<>& header) {
  const auto times = [&](wire::field name) { return header.count(name); };
  const bool old = header.version() < 11;
  if (times(wire::field::host) > 1 || (times(wire::field::host) == 0 && !old)) {
    throw invalid_argument("the request must have exactly one Host header");
  }
  if (times(wire::field::content_length) > 1) {
    throw invalid_argument("the request has more than one Content-Length header");
  }
  if (times(wire::field::transfer_encoding) == 0) return;
  if (times(wire::field::content_length) != 0) {
    throw invalid_argument("the request has both Transfer-Encoding and Content-Length");
  }
  if (old) throw invalid_argument("HTTP/1.0 has no Transfer-Encoding; send Content-Length");
  if (times(wire::field::transfer_encoding) != 1 ||
      !equal_ignoring_case(trimmed(view(header[wire::field::transfer_encoding])), "chunked")) {
    throw HttpError(501, "not_implemented",
                    "the only Transfer-Encoding understood here is \"chunked\"");
  }
}

/// What a browser is told that asks if a page may send a request. access: of that one's route.
Response answer_preflight(Request request, Access& access) {
  request.method = request.header("access-control-request-method");
  if (request.method == "HEAD") request.method = "GET";
  const Route& route = find_route(routes(), request);
  access = route.access;
  if (access == Access::kAdmin) {
    throw permission_denied("pages of other origins may not manage catalogs");
  }
  return preflight_response(route);
}

/// Runs the work on the pool and completes on the caller's executor with true, or with false at
/// once when the queue is full.
net::awaitable<bool> run_on_pool(ThreadPool& pool, std::function<void()> work) {
  const auto initiate = [&pool, &work](auto handler) {
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    const auto executor = net::get_associated_executor(*shared);
    const auto complete = [shared, executor](bool done) {
      net::post(executor, [shared, done] { (*shared)(done); });
    };
    if (!pool.try_submit([work = std::move(work), complete] {
          work();
          complete(true);
        })) {
      complete(false);
    }
  };
  co_return co_await net::async_initiate<const net::use_awaitable_t<>&, void(bool)>(
      initiate, net::use_awaitable);
}

}  // namespace

/// What one request's body takes of the memory for all of them, given back on destruction. It takes
/// as much as has come: a client that promises much and sends little keeps nobody out.
class Connection::BodyBudget {
 public:
  explicit BodyBudget(ConnectionContext& context)
      : total_(context.buffered_bytes),
        limit_(static_cast<std::uint64_t>(context.options.max_buffered_mb) << 20) {}
  ~BodyBudget() { total_ -= bytes_; }
  BodyBudget(const BodyBudget&) = delete;
  BodyBudget& operator=(const BodyBudget&) = delete;

  /// Whether a body of that many bytes would fit now.
  bool has_room_for(std::uint64_t bytes) const { return total_ + bytes <= limit_; }

  /// Takes what is missing to that many bytes. False, and nothing is taken, when it is not there.
  bool grow_to(std::uint64_t bytes) {
    if (bytes <= bytes_) return true;
    const std::uint64_t more = bytes - bytes_;
    if (total_.fetch_add(more) + more > limit_) {
      total_ -= more;
      return false;
    }
    bytes_ = bytes;
    return true;
  }

 private:
  std::atomic<std::uint64_t>& total_;
  const std::uint64_t limit_;
  std::uint64_t bytes_ = 0;
};

Connection::Connection(net::ip::tcp::socket socket, ConnectionContext& context)
    : socket_(std::move(socket)),
      context_(context),
      buffer_(static_cast<std::size_t>(context.options.max_header_kb) * 1024 + kReadAheadBytes),
      timer_(socket_.get_executor()) {}

net::awaitable<void> Connection::run() {
  error_code error;
  const auto peer = socket_.remote_endpoint(error);
  if (error) co_return;
  net::ip::address address = peer.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = net::ip::make_address_v4(net::ip::v4_mapped, address.to_v6());
  }
  peer_ = address.to_string();
  peer_is_loopback_ = address.is_loopback();
  socket_.set_option(net::ip::tcp::no_delay(true), error);

  while (keep_open_ && !context_.draining) {
    const bool request_comes = co_await wait_for_request();
    if (!request_comes) break;
    co_await serve_request();
  }
  disarm();
  socket_.shutdown(net::ip::tcp::socket::shutdown_both, error);
  socket_.close(error);
}

net::awaitable<bool> Connection::wait_for_request() {
  int empty_lines = 0;
  if (request_began(empty_lines)) co_return true;  // pipelined
  // A connection that has not sent anything yet gets no more than a slow header would.
  const int timeout_sec =
      first_request_ ? context_.options.header_timeout_sec : context_.options.idle_timeout_sec;
  arm(seconds(timeout_sec));
  waiting_ = true;
  error_code error;
  bool began = false;
  while (!began && !error && !context_.draining) {
    const std::size_t received = co_await socket_.async_read_some(
        buffer_.prepare(4096), net::redirect_error(net::use_awaitable, error));
    buffer_.commit(received);
    began = request_began(empty_lines);
  }
  waiting_ = false;
  disarm();
  co_return began;
}

bool Connection::request_began(int& empty_lines) {
  constexpr std::string_view kEmptyLine = "\r\n";
  const auto sent = [this] {
    return std::string_view(static_cast<const char*>(buffer_.data().data()), buffer_.size());
  };
  for (; empty_lines < kMaxEmptyLines && sent().starts_with(kEmptyLine); ++empty_lines) {
    buffer_.consume(kEmptyLine.size());
  }
  return !kEmptyLine.starts_with(sent());
}

net::awaitable<void> Connection::serve_request() {
  const steady_clock::time_point began = steady_clock::now();
  const ServerOptions& options = context_.options;
  first_request_ = false;

  Request request;
  request.peer_is_loopback = peer_is_loopback_;
  Outcome outcome;
  HeaderParser parser;
  parser.header_limit(static_cast<std::uint32_t>(options.max_header_kb) * 1024);
  // answer() refuses a long body: the parser would fail before anything of the request is known.
  // Not "no limit", which Beast 1.74 takes for a limit of nothing.
  parser.body_limit(std::numeric_limits<std::uint64_t>::max());

  arm(seconds(options.header_timeout_sec));
  error_code error;
  co_await wire::async_read_header(socket_, buffer_, parser,
                                   net::redirect_error(net::use_awaitable, error));
  const bool too_slow = timed_out_;
  disarm();

  // Of a request that breaks off or is malformed as well: what was read of it.
  const wire::request_header<>& header = parser.get();
  request.method = view(header.method_string());
  request.path = view(header.target().substr(0, header.target().find('?')));
  for (const auto& field : header) {
    request.headers.emplace_back(lower_case(view(field.name_string())), view(field.value()));
  }
  const std::string_view sent_id = request.header("x-request-id");
  request.id = is_request_id(sent_id) ? std::string(sent_id) : next_request_id();
  if (error) {
    outcome.unread_body = true;
    const std::exception_ptr failure =
        too_slow
            ? std::make_exception_ptr(timed_out("request's header", options.header_timeout_sec))
            : read_failure(error, options);
    if (failure) {
      outcome.response = problem_response(failure, request.id);
    } else {
      outcome.silent = true;
    }
  } else {
    co_await answer(parser, request, outcome);
  }
  const bool head_only = parser.is_header_done() && parser.get().method() == wire::verb::head;
  const std::string method = head_only ? "HEAD" : request.method;
  if (outcome.silent || context_.closing) {
    keep_open_ = false;
    outcome.response.status = kUnansweredStatus;
    outcome.response.log_detail = fmt::format("the {} closed the connection before the answer",
                                              context_.closing ? "server" : "client");
    log(method, request, outcome.response, began);
    co_return;
  }

  if (outcome.access == Access::kPublic) context_.cors.open(request, outcome.response);
  keep_open_ = outcome.keep_alive && !outcome.unread_body && !context_.draining;
  log(method, request, outcome.response, began);
  co_await write(request, outcome, head_only,
                 parser.is_header_done() ? parser.get().version() : 11);
  if (!keep_open_ && outcome.unread_body) co_await linger();
}

net::awaitable<void> Connection::answer(HeaderParser& parser, Request& request, Outcome& outcome) {
  const Route* route = nullptr;
  BodyBudget budget(context_);
  outcome.unread_body = !parser.is_done();
  try {
    const wire::request_header<>& header = parser.get();
    if (request.method == "HEAD") request.method = "GET";
    refuse_ambiguity(header);
    Target target = parse_target(view(header.target()));
    request.path = std::move(target.path);
    request.query = std::move(target.query);
    // Not earlier: where the next request of an ambiguous one begins is anybody's guess.
    outcome.keep_alive = parser.keep_alive();
    if (context_.cors.is_preflight(request)) {
      outcome.response = answer_preflight(request, outcome.access);
      co_return;
    }
    route = &find_route(routes(), request);
    outcome.access = route->access;
    if (route->access == Access::kAdmin) require_admin(request, context_.options.admin_token);
    const std::string_view expect = expectation(header);
    if (!expect.empty() && !equal_ignoring_case(expect, "100-continue")) {
      throw HttpError(417, "expectation_failed", "the only Expect understood is 100-continue");
    }
    const std::string_view coding = request.header("content-encoding");
    if (outcome.unread_body && !coding.empty() && !equal_ignoring_case(coding, "identity")) {
      throw HttpError(415, "unsupported_media_type",
                      fmt::format("Content-Encoding is \"{}\"; send the body as it is, without one",
                                  printable(coding)),
                      {{"Accept-Encoding", "identity"}});
    }
    const auto length = parser.content_length();
    if (length && *length > static_cast<std::uint64_t>(context_.options.max_body_mb) << 20) {
      throw body_too_large(context_.options);
    }
    // Better refused now than after most of it has come.
    if (length && *length > 0 && !budget.has_room_for(*length)) throw bodies_too_large();
  } catch (...) {
    outcome.response = problem_response(std::current_exception(), request.id);
    co_return;
  }

  if (outcome.unread_body) {
    co_await read_body(parser, request, outcome, budget);
    if (outcome.unread_body || outcome.silent) co_return;
  }
  co_await run_handler(*route, request, outcome.response);
  // With the budget: the client may take its time with the answer.
  std::string().swap(request.body);
}

net::awaitable<void> Connection::read_body(HeaderParser& parser, Request& request, Outcome& outcome,
                                           BodyBudget& budget) {
  const ServerOptions& options = context_.options;
  error_code error;
  arm(seconds(options.transfer_timeout_sec));
  if (!expectation(parser.get()).empty() && buffer_.size() == 0) {
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await net::async_write(socket_, net::buffer(kContinue.data(), kContinue.size()),
                              net::redirect_error(net::use_awaitable, error));
  }
  wire::request_parser<wire::string_body> body_parser(std::move(parser));
  body_parser.body_limit(static_cast<std::uint64_t>(options.max_body_mb) << 20);
  body_parser.eager(true);
  bool has_room = true;
  while (!error && has_room && !body_parser.is_done()) {
    co_await wire::async_read_some(socket_, buffer_, body_parser,
                                   net::redirect_error(net::use_awaitable, error));
    has_room = budget.grow_to(body_parser.get().body().size());
  }
  const bool too_slow = timed_out_;
  disarm();
  if (!error && has_room) {
    outcome.unread_body = false;
    request.body = std::move(body_parser.get().body());
    co_return;
  }
  const std::exception_ptr failure =
      too_slow ? std::make_exception_ptr(timed_out("request's body", options.transfer_timeout_sec))
      : !has_room ? std::make_exception_ptr(bodies_too_large())
                  : read_failure(error, options);
  if (failure) {
    outcome.response = problem_response(failure, request.id);
  } else {
    outcome.silent = true;
  }
}

net::awaitable<void> Connection::run_handler(const Route& route, const Request& request,
                                             Response& response) {
  // Lives in this frame until the pool is done with it.
  std::optional<Response> result;
  const auto work = [&] {
    try {
      if (context_.closing) throw HttpError(503, "unavailable", "the server is about to stop");
      result = route.handler(context_.services, request);
    } catch (...) {
      result = problem_response(std::current_exception(), request.id);
    }
  };
  if (route.runs_on == RunsOn::kIoThread) {
    work();
  } else {
    const bool accepted = co_await run_on_pool(context_.request_pool, work);
    if (!accepted) {
      result = problem_response(std::make_exception_ptr(HttpError(
                                    503, "unavailable",
                                    fmt::format("{} requests are waiting already; try again",
                                                context_.options.max_queued),
                                    {{"Retry-After", "1"}})),
                                request.id);
    }
  }
  response = std::move(*result);
}

net::awaitable<void> Connection::write(const Request& request, Outcome& outcome, bool head_only,
                                       unsigned version) {
  Response& response = outcome.response;
  const bool bodiless = response.status == 204 || response.status == 304;
  const auto fill = [&](auto& message) {
    message.version(version);
    message.result(static_cast<unsigned>(response.status));
    message.reason(beast::string_view(reason_phrase(response.status).data(),
                                      reason_phrase(response.status).size()));
    message.set(wire::field::server, "vitrine");
    message.set(wire::field::date, http_date());
    message.set("X-Request-Id", request.id);
    message.set("X-Content-Type-Options", "nosniff");
    if (!response.content_type.empty()) {
      message.set(wire::field::content_type, response.content_type);
    }
    for (const auto& [name, value] : response.headers) message.set(name, value);
    message.keep_alive(keep_open_);
    if (!bodiless) message.content_length(response.body.size());
  };
  error_code error;
  arm(seconds(context_.options.transfer_timeout_sec));
  if (head_only || bodiless) {
    wire::response<wire::empty_body> message;
    fill(message);
    co_await wire::async_write(socket_, message, net::redirect_error(net::use_awaitable, error));
  } else {
    wire::response<wire::string_body> message;
    fill(message);
    message.body() = std::move(response.body);
    co_await wire::async_write(socket_, message, net::redirect_error(net::use_awaitable, error));
  }
  disarm();
  if (error) keep_open_ = outcome.unread_body = false;
}

net::awaitable<void> Connection::linger() {
  error_code error;
  socket_.shutdown(net::ip::tcp::socket::shutdown_send, error);
  arm(kLingerTime);
  std::uint64_t left = static_cast<std::uint64_t>(context_.options.max_body_mb) << 21;
  while (!error && left > 0 && !context_.closing) {
    buffer_.clear();
    const std::size_t received = co_await socket_.async_read_some(
        buffer_.prepare(16 * 1024), net::redirect_error(net::use_awaitable, error));
    left -= std::min<std::uint64_t>(left, received);
  }
  disarm();
}

void Connection::drain() {
  net::post(socket_.get_executor(), [self = shared_from_this()] {
    error_code ignored;
    if (self->waiting_) self->socket_.cancel(ignored);
  });
}

void Connection::close() {
  net::post(socket_.get_executor(), [self = shared_from_this()] {
    error_code ignored;
    self->keep_open_ = false;
    self->socket_.close(ignored);
  });
}

void Connection::arm(milliseconds timeout) {
  timed_out_ = false;
  armed_ = true;
  timer_.expires_after(timeout);
  watch(++arming_);
}

void Connection::disarm() {
  armed_ = false;
  timer_.cancel();
}

void Connection::watch(std::uint64_t arming) {
  timer_.async_wait([self = shared_from_this(), arming](const error_code& cancelled) {
    if (cancelled || !self->armed_ || self->arming_ != arming) return;
    self->timed_out_ = true;
    error_code ignored;
    self->socket_.cancel(ignored);
    // Between two steps of one read there is nothing to cancel: ask again until it ends.
    self->timer_.expires_after(milliseconds(20));
    self->watch(arming);
  });
}

void Connection::log(std::string_view method, const Request& request, const Response& response,
                     steady_clock::time_point began) const {
  // Only a 500 needs somebody to look; the others are load, a restart or an odd client.
  const spdlog::level::level_enum level = response.status < 500    ? spdlog::level::info
                                          : response.status == 500 ? spdlog::level::err
                                                                   : spdlog::level::warn;
  if (level == spdlog::level::info && !context_.options.access_log) return;
  const double ms = std::chrono::duration<double, std::milli>(steady_clock::now() - began).count();
  // A request that broke off early has neither method nor path; the columns stay.
  const auto column = [](std::string_view text) { return text.empty() ? "-" : printable(text); };
  spdlog::log(level, "{} {} {} {} {:.1f} ms request={}{}{}", peer_, column(method),
              column(request.path), response.status, ms, request.id,
              response.log_detail.empty() ? "" : " ", printable(response.log_detail, 2000));
}

std::string Connection::next_request_id() {
  return fmt::format("{}-{:x}", context_.id_prefix, ++context_.requests);
}

}  // namespace vitrine::http
