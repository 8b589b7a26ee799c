#pragma once

#include <memory>

#include "cli/progress_bar.h"
#include "engine/indexing.h"

namespace vitrine::cli {

/// Shows an engine's progress on stderr: one bar a stage that takes time. Not thread-safe.
class StageProgress {
 public:
  StageProgress();

  void update(const engine::IndexProgress& progress);
  /// Ends the line; also before an error is printed.
  void finish();

 private:
  const bool terminal_;
  engine::IndexStage stage_ = engine::IndexStage::kReading;
  std::unique_ptr<ProgressBar> bar_;
};

/// Runs work(callback), whose progress is shown, and ends the line however it ends.
template <class Work>
auto with_progress(const Work& work) {
  StageProgress progress;
  struct Finish {
    StageProgress& progress;
    ~Finish() { progress.finish(); }
  } const finish{progress};
  return work([&](const engine::IndexProgress& now) { progress.update(now); });
}

}  // namespace vitrine::cli
