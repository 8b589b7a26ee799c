#include "cli/stage_progress.h"

#include <unistd.h>

#include <csignal>
#include <iostream>
#include <string>

namespace vitrine::cli {
namespace {

std::atomic<bool> cancel_requested{false};  // set by the signal handler
static_assert(std::atomic<bool>::is_always_lock_free);

void request_cancel(int /*signal*/) { cancel_requested = true; }

}  // namespace

const std::atomic<bool>& cancel_on_signals() {
  std::signal(SIGINT, request_cancel);
  std::signal(SIGTERM, request_cancel);
  return cancel_requested;
}

StageProgress::StageProgress() : terminal_(::isatty(STDERR_FILENO) == 1) {}

void StageProgress::update(const engine::IndexProgress& progress) {
  if (!bar_ || progress.stage != stage_) {
    finish();
    stage_ = progress.stage;
    bar_ =
        std::make_unique<ProgressBar>(std::cerr, terminal_, std::string(engine::to_string(stage_)));
  }
  bar_->update(progress.done, progress.total.value_or(0));
}

void StageProgress::finish() {
  if (!bar_) return;
  bar_->finish();
  bar_.reset();
}

}  // namespace vitrine::cli
