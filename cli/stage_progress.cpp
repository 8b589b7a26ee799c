#include "cli/stage_progress.h"

#include <unistd.h>

#include <iostream>
#include <string>

namespace vitrine::cli {

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
