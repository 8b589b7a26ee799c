#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>

#include "engine/indexing.h"

namespace vitrine::engine {

/// Turns counts into calls of a ProgressCallback, not more often than is useful to look at. The
/// rate is a moving average, so that the cached products at the beginning of a resumed run do not
/// promise too much for the rest. Of one stage, several threads may update().
class ProgressMeter {
 public:
  /// callback may be empty and must outlive the meter.
  explicit ProgressMeter(const ProgressCallback& callback) : callback_(callback) {}

  void begin_stage(IndexStage stage, std::optional<std::uint64_t> total);
  /// Fewer done than before are passed over: of two threads the later one may say what was earlier.
  void update(std::uint64_t done, std::uint64_t failed);
  /// Reports what the last update() said, however recent the last call.
  void end_stage();

 private:
  using Clock = std::chrono::steady_clock;

  void call(Clock::time_point now);

  const ProgressCallback& callback_;
  std::mutex mutex_;  // guards what follows
  IndexProgress progress_;
  Clock::time_point stage_start_;
  Clock::time_point last_call_;
  std::uint64_t done_at_last_call_ = 0;
  double rate_ = 0;    // of the weighted past
  double weight_ = 0;  // how much past rate_ stands for, towards 1
};

}  // namespace vitrine::engine
