#pragma once

#include <atomic>
#include <span>
#include <string_view>

#include "http/message.h"

namespace vitrine::engine {
class Engine;
}

namespace vitrine::http {

/// What endpoints work with. Thread-safe.
struct Services {
  engine::Engine& engine;
  const std::atomic<bool>& draining;  ///< the server is about to stop
};

/// Parses the request into an engine struct, calls one engine method, prints the answer. May
/// throw; problem.h makes an answer of it. Called from many threads at once.
using Handler = Response (*)(const Services& services, const Request& request);

enum class RunsOn {
  kIoThread,     ///< takes microseconds and never blocks: answers even when the queue is full
  kRequestPool,  ///< everything else
};

enum class Access {
  kPublic,
  kAdmin,  ///< see access.h
};

/// One line of the table in routes.cpp.
struct Route {
  std::string_view method;   ///< a GET route answers HEAD as well
  std::string_view pattern;  ///< "/v1/catalogs/{catalog}"; a parameter is one whole segment
  Handler handler = nullptr;
  RunsOn runs_on = RunsOn::kRequestPool;
  Access access = Access::kPublic;
};

/// Finds the route of a request and fills its path_parameters. Throws HttpError 405 with Allow when
/// the path is known under other methods, NotFound when it is not known, and InvalidArgument for
/// malformed escapes, "." and ".." segments, and a query on an API path, where none has a meaning.
const Route& find_route(std::span<const Route> routes, Request& request);

}  // namespace vitrine::http
