#pragma once

#include <chrono>
#include <string>

namespace vitrine::engine {

/// The time as RFC 3339 in UTC, with milliseconds: "2024-02-29T12:34:56.789Z".
std::string utc_timestamp(std::chrono::system_clock::time_point time);
std::string utc_now();

/// Milliseconds since `start`.
double milliseconds_since(std::chrono::steady_clock::time_point start);

}  // namespace vitrine::engine
