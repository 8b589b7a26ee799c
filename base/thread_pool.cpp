#include "base/thread_pool.h"

#include <fmt/format.h>

#include <system_error>
#include <utility>

#include "base/compute_threads.h"
#include "base/error.h"

namespace vitrine {

ThreadPool::ThreadPool(int threads, std::size_t max_queued, int omp_threads)
    : max_queued_(max_queued) {
  if (threads < 1 || max_queued < 1) {
    throw invalid_argument("a thread pool needs at least one thread and room for one task");
  }
  try {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this, omp_threads] { work(omp_threads); });
    }
  } catch (const std::system_error& error) {
    stop();
    throw unavailable(
        fmt::format("no more than {} of {} threads: {}", threads_.size(), threads, error.what()));
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  task_ready_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool ThreadPool::try_submit(Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (tasks_.size() >= max_queued_) return false;
    tasks_.push_back(std::move(task));
  }
  task_ready_.notify_one();
  return true;
}

void ThreadPool::work(int omp_threads) {
  set_compute_threads_of_this_thread(omp_threads);
  while (true) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      task_ready_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace vitrine
