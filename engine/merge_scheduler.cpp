#include "engine/merge_scheduler.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace vitrine::engine {
namespace {

constexpr std::chrono::milliseconds kInterval{500};
constexpr std::size_t kLeastRows = 1000;
constexpr std::size_t kPartOfProducts = 5;

}  // namespace

std::size_t rows_due_for_merge(int merge_size, std::size_t products) {
  return std::min(static_cast<std::size_t>(merge_size),
                  std::max(kLeastRows, products / kPartOfProducts));
}

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
