#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace vitrine::index {

/// The set of rows one walk has seen; forgetting them all is one addition, not a pass over memory.
class VisitedRows {
 public:
  explicit VisitedRows(std::size_t rows) : marks_(rows, 0) {}

  void forget_all() {
    if (++mark_ != 0) return;
    std::fill(marks_.begin(), marks_.end(), 0);
    mark_ = 1;
  }
  /// False when the row was visited since forget_all().
  bool visit(std::size_t row) { return std::exchange(marks_[row], mark_) != mark_; }

 private:
  std::vector<std::uint16_t> marks_;
  std::uint16_t mark_ = 0;
};

/// Lends each walk a VisitedRows of its own and keeps it for the next. Thread-safe. Holds 2 bytes a
/// row for each walk that ever ran at the same time.
class VisitedRowsPool {
 public:
  explicit VisitedRowsPool(std::size_t rows) : rows_(rows) {}

  /// Gives the set back on destruction. Must not outlive the pool.
  class Lease {
   public:
    Lease(VisitedRowsPool& pool, std::unique_ptr<VisitedRows> visited)
        : pool_(pool), visited_(std::move(visited)) {}
    ~Lease() { pool_.give_back(std::move(visited_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    VisitedRows* operator->() { return visited_.get(); }

   private:
    VisitedRowsPool& pool_;
    std::unique_ptr<VisitedRows> visited_;
  };

  /// An empty set.
  Lease borrow() {
    std::unique_ptr<VisitedRows> visited;
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        visited = std::move(idle_.back());
        idle_.pop_back();
      } else {
        // Room for every set there is, so that giving one back never allocates.
        idle_.reserve(++made_);
      }
    }
    if (visited == nullptr) visited = std::make_unique<VisitedRows>(rows_);
    visited->forget_all();
    return {*this, std::move(visited)};
  }

 private:
  void give_back(std::unique_ptr<VisitedRows> visited) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(visited));
  }

  const std::size_t rows_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<VisitedRows>> idle_;  // guarded by mutex_
  std::size_t made_ = 0;                            // guarded by mutex_
};

}  // namespace vitrine::index
