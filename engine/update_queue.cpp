#include "engine/update_queue.h"

namespace vitrine::engine {

UpdateQueue::Turn::Turn(UpdateQueue& queue) : queue_(queue) {
  std::unique_lock lock(queue_.mutex_);
  queue_.changed_.wait(lock, [this] { return !queue_.busy_; });
  queue_.busy_ = true;
}

UpdateQueue::Turn::~Turn() {
  {
    const std::lock_guard lock(queue_.mutex_);
    queue_.busy_ = false;
  }
  queue_.changed_.notify_all();
}

std::vector<UpdateQueue::Request*> UpdateQueue::take_group() {
  std::vector<Request*> group;
  group.reserve(waiting_.size());
  std::size_t updates = 0;
  std::size_t bytes = 0;
  while (!waiting_.empty() &&
         (group.empty() || (updates < kGroupUpdates && bytes < kGroupUploadBytes))) {
    Request* request = waiting_.front();
    waiting_.pop_front();
    group.push_back(request);
    updates += request->updates.size();
    for (const PreparedUpdate& update : request->updates) {
      if (update.upload) bytes += update.upload->bytes.size();
    }
  }
  return group;
}

}  // namespace vitrine::engine
