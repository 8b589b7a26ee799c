#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

#include "engine/jobs.h"
#include "storage/database.h"

namespace vitrine::engine {

/// Runs jobs, one thread each, and remembers them in the database. Thread-safe.
class JobRunner {
 public:
  /// Ended jobs of a kind that are remembered; the oldest are forgotten first.
  static constexpr std::size_t kMaxEndedJobs = 100;

  /// database must outlive the runner. Jobs that it says are running belonged to a process that is
  /// gone: they become interrupted.
  explicit JobRunner(storage::Database& database);
  /// Cancels what runs, waits for it, and leaves it as interrupted.
  ~JobRunner();
  JobRunner(const JobRunner&) = delete;
  JobRunner& operator=(const JobRunner&) = delete;

  using Report = std::variant<IndexReport, ExperimentReport, TuningReport>;
  /// What a job does: throws Cancelled soon after `cancel` is set.
  using Work = std::function<Report(const ProgressCallback&, const std::atomic<bool>& cancel)>;
  /// Returns the new job's id. Throws Unavailable when the system has no thread for it.
  std::string start(const std::string& catalog, JobKind kind, Work work);

  JobStatus status(std::string_view id) const;
  std::vector<JobStatus> all() const;
  void cancel(std::string_view id);

 private:
  struct Job {
    JobStatus status;  // guarded by mutex_
    std::atomic<bool> cancel{false};
    std::thread thread;
  };

  void run(Job& job, Work work);
  void run_to_its_end(Job& job, Work& work);
  /// Trouble is logged.
  void store_end(const JobStatus& status);
  const Job& find(std::string_view id) const;
  /// Makes room for another job of the kind.
  void forget_oldest(JobKind kind);

  storage::Database& database_;
  mutable std::mutex mutex_;
  // Sorted by age: an id begins with the time of its creation. Nodes stay put, so that a job's
  // thread may hold a reference.
  std::map<std::string, std::unique_ptr<Job>, std::less<>> jobs_;  // guarded by mutex_
  bool stopping_ = false;                                          // guarded by mutex_
};

}  // namespace vitrine::engine
