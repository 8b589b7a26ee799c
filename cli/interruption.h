#pragma once

#include <atomic>

namespace vitrine::cli {

/// From now on SIGINT and SIGTERM do not end the process but set what is returned, for work that
/// has something to leave in order.
const std::atomic<bool>& catch_interruptions();

}  // namespace vitrine::cli
