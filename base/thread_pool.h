#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace vitrine {

/// A fixed number of threads that run tasks from one bounded queue, oldest first. Thread-safe.
/// Destruction runs what is queued and joins.
class ThreadPool {
 public:
  using Task = std::function<void()>;

  /// threads: at least 1. max_queued: tasks that may wait for a thread, at least 1.
  /// omp_threads: OpenMP threads each worker may use inside a task (0: every core).
  /// Throws Unavailable when the system has no more threads.
  ThreadPool(int threads, std::size_t max_queued, int omp_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  /// False when the queue is full; the task is dropped then. The task must not throw: what escapes
  /// it ends the process.
  bool try_submit(Task task);

 private:
  void stop();
  void work(int omp_threads);

  const std::size_t max_queued_;
  std::mutex mutex_;
  std::condition_variable task_ready_;
  std::deque<Task> tasks_;  // guarded by mutex_
  bool stopping_ = false;   // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace vitrine
