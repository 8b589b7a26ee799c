#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <set>
#include <span>
#include <vector>

#include "base/sha256.h"
#include "engine/updates.h"

namespace vitrine::engine {

/// What waits to be written to one catalog. Whoever comes while another writes waits, and what has
/// come meanwhile is written together: one write to the disk, one new snapshot. Thread-safe.
class UpdateQueue {
 public:
  /// Updates that are written together or not at all.
  struct Request {
    explicit Request(std::span<const PreparedUpdate> prepared) : updates(prepared) {}

    std::span<const PreparedUpdate> updates;
    std::vector<UpdateResult> results;
    std::exception_ptr error;
    bool done = false;
  };

  /// The right to write, which one thread at a time has.
  class Turn {
   public:
    explicit Turn(UpdateQueue& queue);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    UpdateQueue& queue_;
  };

  /// Calls commit(requests), which must not throw, for the request and others that wait, or waits
  /// until another thread has done so. Throws the request's error.
  template <typename Commit>
  std::vector<UpdateResult> run(Request& request, const Commit& commit) {
    std::unique_lock lock(mutex_);
    waiting_.push_back(&request);
    while (!request.done) {
      if (busy_) {
        changed_.wait(lock);
        continue;
      }
      std::vector<Request*> group;
      try {
        group = take_group();
      } catch (...) {
        std::erase(waiting_, &request);
        throw;
      }
      busy_ = true;
      lock.unlock();
      commit(std::span<Request* const>(group));
      lock.lock();
      busy_ = false;
      for (Request* written : group) written->done = true;
      changed_.notify_all();
    }
    if (request.error) std::rethrow_exception(request.error);
    return std::move(request.results);
  }

  // For whoever has the turn.

  /// Images that were uploaded since a sweep of them began.
  std::set<Sha256Digest> recent_uploads;
  /// The highest number that was given to an update, though its write may have failed. It is not
  /// given again: should such an update be on disk all the same, later ones come after it.
  std::uint64_t last_sequence = 0;

 private:
  /// Bounds of what is written together.
  static constexpr std::size_t kGroupUpdates = 4096;
  static constexpr std::size_t kGroupUploadBytes = std::size_t{32} << 20;

  /// At least one request; where there is no memory for it, all go on waiting. The caller has
  /// locked mutex_.
  std::vector<Request*> take_group();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Request*> waiting_;  // guarded by mutex_
  bool busy_ = false;             // guarded by mutex_
};

}  // namespace vitrine::engine
