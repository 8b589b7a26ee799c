#pragma once

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>

#include "base/compute_threads.h"

namespace vitrine::engine {

/// Bounds how many threads compute at the same time, however many are in hand: a thread that waits
/// for the encoder leaves its slot to others. Who computes alone does so on all cores; who shares
/// them, on a share: threads that two searches start for the same cores wait for one another.
/// Thread-safe.
class ComputeSlots {
 public:
  /// count: at least 1.
  explicit ComputeSlots(int count) : count_(count) {}

  /// Holds a slot for its lifetime; waits for one.
  class Slot {
   public:
    explicit Slot(ComputeSlots& slots) : slots_(slots) {
      std::unique_lock lock(slots_.mutex_);
      ++slots_.wanted_;
      slots_.freed_.wait(lock, [this] { return slots_.taken_ < slots_.count_; });
      ++slots_.taken_;
      threads_.emplace(std::max(1, slots_.count_ / slots_.wanted_));
    }
    ~Slot() {
      {
        const std::lock_guard lock(slots_.mutex_);
        --slots_.taken_;
        --slots_.wanted_;
      }
      slots_.freed_.notify_one();
    }
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;

   private:
    ComputeSlots& slots_;
    std::optional<FewerComputeThreads> threads_;
  };

 private:
  std::mutex mutex_;
  std::condition_variable freed_;
  const int count_;
  int taken_ = 0;   // guarded by mutex_
  int wanted_ = 0;  // guarded by mutex_; taken ones, and those that are waited for
};

}  // namespace vitrine::engine
