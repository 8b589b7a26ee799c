#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace vitrine::index {

/// The set of rows one walk has seen: a bit a row, so that it stays near the CPU, and a list of
/// them, so that forgetting them costs no pass over all.
class VisitedRows {
 public:
  explicit VisitedRows(std::size_t rows) : words_((rows + kWordBits - 1) / kWordBits, 0) {}

  void forget_all() {
    for (const std::uint32_t word : touched_) words_[word] = 0;
    touched_.clear();
  }
  /// False when the row was visited since forget_all().
  bool visit(std::size_t row) {
    std::uint64_t& word = words_[row / kWordBits];
    const std::uint64_t bit = std::uint64_t{1} << row % kWordBits;
    if ((word & bit) != 0) return false;
    if (word == 0) touched_.push_back(static_cast<std::uint32_t>(row / kWordBits));
    word |= bit;
    return true;
  }

 private:
  static constexpr std::size_t kWordBits = 64;

  std::vector<std::uint64_t> words_;
  std::vector<std::uint32_t> touched_;  // words that are not 0
};

/// Lends each walk a VisitedRows of its own and keeps it for the next. Thread-safe. Holds a bit a
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
