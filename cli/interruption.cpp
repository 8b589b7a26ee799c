#include "cli/interruption.h"

#include <csignal>

namespace vitrine::cli {
namespace {

std::atomic<bool> interrupted{false};  // set by the signal handler
static_assert(std::atomic<bool>::is_always_lock_free);

void interrupt(int /*signal*/) { interrupted = true; }

}  // namespace

const std::atomic<bool>& catch_interruptions() {
  std::signal(SIGINT, interrupt);
  std::signal(SIGTERM, interrupt);
  return interrupted;
}

}  // namespace vitrine::cli
