#include "engine/progress_meter.h"

#include <algorithm>
#include <cmath>

namespace vitrine::engine {
namespace {

constexpr double kCallIntervalSeconds = 0.1;
constexpr double kRateWindowSeconds = 10;

double seconds_between(std::chrono::steady_clock::time_point from,
                       std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

void ProgressMeter::begin_stage(IndexStage stage, std::optional<std::uint64_t> total) {
  const std::lock_guard lock(mutex_);
  progress_ = {stage, 0, total, progress_.failed, 0, std::nullopt};
  stage_start_ = last_call_ = Clock::now();
  done_at_last_call_ = 0;
  rate_ = weight_ = 0;
  if (callback_) callback_(progress_);
}

void ProgressMeter::update(std::uint64_t done, std::uint64_t failed) {
  const std::lock_guard lock(mutex_);
  progress_.done = std::max(progress_.done, done);
  progress_.failed = failed;
  const Clock::time_point now = Clock::now();
  if (seconds_between(last_call_, now) >= kCallIntervalSeconds) call(now);
}

void ProgressMeter::end_stage() {
  const std::lock_guard lock(mutex_);
  call(Clock::now());
}

void ProgressMeter::call(Clock::time_point now) {
  const double seconds = seconds_between(last_call_, now);
  if (seconds > 0) {
    const double keep = std::exp(-seconds / kRateWindowSeconds);
    rate_ = keep * rate_ +
            (1 - keep) * static_cast<double>(progress_.done - done_at_last_call_) / seconds;
    weight_ = keep * weight_ + (1 - keep);
  }
  last_call_ = now;
  done_at_last_call_ = progress_.done;
  progress_.products_per_second = weight_ > 0 ? rate_ / weight_ : 0;
  progress_.eta_seconds.reset();
  if (progress_.total && progress_.products_per_second > 0) {
    const std::uint64_t left =
        *progress_.total > progress_.done ? *progress_.total - progress_.done : 0;
    progress_.eta_seconds = static_cast<double>(left) / progress_.products_per_second;
  }
  if (callback_) callback_(progress_);
}

}  // namespace vitrine::engine
