#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace vitrine::engine {

/// Looks about twice a second, on a thread of its own, whether a merge is due.
class MergeScheduler {
 public:
  /// look: begins what is due; must not throw.
  explicit MergeScheduler(std::function<void()> look);
  ~MergeScheduler();
  MergeScheduler(const MergeScheduler&) = delete;
  MergeScheduler& operator=(const MergeScheduler&) = delete;

 private:
  void run();

  const std::function<void()> look_;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;     // last: it uses all of the above
};

}  // namespace vitrine::engine
