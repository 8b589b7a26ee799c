#pragma once

#include <condition_variable>
#include <mutex>

namespace vitrine::engine {

/// Bounds how many threads compute at the same time, however many are in hand: a thread that waits
/// for the encoder leaves its slot to others. Thread-safe.
class ComputeSlots {
 public:
  /// count: at least 1.
  explicit ComputeSlots(int count) : free_(count) {}

  /// Holds a slot for its lifetime; waits for one.
  class Slot {
   public:
    explicit Slot(ComputeSlots& slots) : slots_(slots) {
      std::unique_lock lock(slots_.mutex_);
      slots_.freed_.wait(lock, [this] { return slots_.free_ > 0; });
      --slots_.free_;
    }
    ~Slot() {
      {
        const std::lock_guard lock(slots_.mutex_);
        ++slots_.free_;
      }
      slots_.freed_.notify_one();
    }
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;

   private:
    ComputeSlots& slots_;
  };

 private:
  std::mutex mutex_;
  std::condition_variable freed_;
  int free_;  // guarded by mutex_
};

}  // namespace vitrine::engine
