#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>

namespace vitrine::engine {

/// New, replaced and deleted rows that make a merge of a catalog due: merge_size (EngineOptions),
/// or a fifth of its products where that is less, at least 1000. Each search compares the new ones,
/// which would be more work than an index of few products is. merge_size: above 0.
std::size_t rows_due_for_merge(int merge_size, std::size_t products);

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
