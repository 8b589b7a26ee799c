#include "engine/merge_scheduler.h"

#include <chrono>
#include <utility>

namespace vitrine::engine {
namespace {

constexpr std::chrono::milliseconds kInterval{500};

}  // namespace

MergeScheduler::MergeScheduler(std::function<void()> look)
    : look_(std::move(look)), thread_([this] { run(); }) {}

MergeScheduler::~MergeScheduler() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_one();
  thread_.join();
}

void MergeScheduler::run() {
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, kInterval, [this] { return stopping_; })) {
    lock.unlock();
    look_();
    lock.lock();
  }
}

}  // namespace vitrine::engine
