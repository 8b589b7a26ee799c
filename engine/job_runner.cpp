#include "engine/job_runner.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "engine/report_json.h"
#include "engine/timestamp.h"

namespace vitrine::engine {
namespace {

constexpr const char* kInterruptedMessage =
    "the server stopped while the job ran; start it again, and it goes on where it was";

constexpr const char* kInternalMessage = "internal error; the log has the details";

/// "20240229T123456789Z": sorts by time, and is a valid job id.
std::string compact_timestamp(std::chrono::system_clock::time_point time) {
  std::string text = utc_timestamp(time);
  std::erase_if(text, [](char c) { return c == '-' || c == ':' || c == '.'; });
  return text;
}

/// Puts a report in its place.
struct KeepReport {
  JobStatus& status;
  void operator()(IndexReport&& report) const { status.report = std::move(report); }
  void operator()(ExperimentReport&& report) const { status.experiment = std::move(report); }
  void operator()(TuningReport&& report) const { status.tuning = std::move(report); }
};

}  // namespace

JobRunner::JobRunner(storage::Database& database) : database_(database) {
  for (const auto& [id, json] : database_.list_jobs()) {
    auto job = std::make_unique<Job>();
    try {
      job->status = job_from_json(json);
    } catch (const Error& error) {
      spdlog::warn("forgetting job {}: {}", id, error.what());
      database_.delete_job(id);
      continue;
    }
    if (job->status.state == JobState::kRunning) {
      job->status.state = JobState::kInterrupted;
      job->status.error = kInterruptedMessage;
      job->status.finished_at = utc_now();
      store_end(job->status);
    }
    jobs_.emplace(id, std::move(job));
  }
}

JobRunner::~JobRunner() {
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& [id, job] : jobs_) {
      job->cancel = true;
      if (job->thread.joinable()) threads.push_back(std::move(job->thread));
    }
  }
  for (std::thread& thread : threads) thread.join();
}

std::string JobRunner::start(const std::string& catalog, JobKind kind, Work work) {
  const std::lock_guard lock(mutex_);
  if (stopping_) throw unavailable("the engine is stopping; no job can be started");
  forget_oldest(kind);
  auto time = std::chrono::system_clock::now();
  std::string id;
  do {
    id = fmt::format("{}-{}", compact_timestamp(time), catalog);
    time += std::chrono::milliseconds(1);
  } while (jobs_.contains(id));

  auto job = std::make_unique<Job>();
  job->status.id = id;
  job->status.catalog = catalog;
  job->status.kind = kind;
  job->status.created_at = utc_now();
  database_.put_job(id, to_json(job->status));
  Job& started = *jobs_.emplace(id, std::move(job)).first->second;
  const auto forget = [&] {
    jobs_.erase(id);
    database_.delete_job(id);
  };
  try {
    // The thread is to keep no copy of the work, whose claims run() gives up.
    started.thread = std::thread(&JobRunner::run, this, std::ref(started), std::move(work));
  } catch (const std::system_error& error) {
    forget();
    throw unavailable(fmt::format("no thread for a job: {}", error.what()));
  } catch (...) {
    forget();
    throw;
  }
  return id;
}

void JobRunner::run(Job& job, Work work) {
  try {
    run_to_its_end(job, work);
  } catch (const std::exception& error) {
    // There is no memory to say how it ended. On disk it is as if the server had stopped.
    spdlog::error("job {} ended, and its end is not stored: {}", job.status.id, error.what());
    work = nullptr;
    const std::lock_guard lock(mutex_);
    job.status.state = JobState::kFailed;
  }
}

void JobRunner::run_to_its_end(Job& job, Work& work) {
  const auto progress = [&](const IndexProgress& now) {
    const std::lock_guard lock(mutex_);
    job.status.progress = now;
  };
  JobState state = JobState::kFailed;
  std::optional<Report> report;
  std::string message;
  try {
    report = work(progress, job.cancel);
    state = JobState::kSucceeded;
  } catch (const Error& error) {
    message = error.what();
    if (error.code() == ErrorCode::kCancelled) state = JobState::kCancelled;
    if (error.code() == ErrorCode::kInternal) message = kInternalMessage;
    spdlog::log(state == JobState::kCancelled ? spdlog::level::info : spdlog::level::err,
                "job {} ended: {}", job.status.id, error.what());
  } catch (const std::exception& error) {
    message = kInternalMessage;
    spdlog::error("job {} ended: {}", job.status.id, error.what());
  }

  work = nullptr;  // gives up its claims before anyone can see that the job has ended

  JobStatus ended;
  {
    const std::lock_guard lock(mutex_);
    if (state == JobState::kCancelled && stopping_) {
      state = JobState::kInterrupted;
      message = kInterruptedMessage;
    }
    ended = job.status;
    ended.state = state;
    if (report) std::visit(KeepReport{ended}, std::move(*report));
    ended.error = std::move(message);
    ended.finished_at = utc_now();
  }
  // On disk first: what was once seen as ended is ended after a crash, too.
  store_end(ended);
  const std::lock_guard lock(mutex_);
  job.status = std::move(ended);
}

void JobRunner::store_end(const JobStatus& status) {
  try {
    database_.finish_job(status.id, to_json(status));
  } catch (const Error& error) {
    spdlog::error("{}", error.what());
  }
}

const JobRunner::Job& JobRunner::find(std::string_view id) const {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) {
    throw not_found(fmt::format("there is no job \"{}\"", printable(id)));
  }
  return *found->second;
}

JobStatus JobRunner::status(std::string_view id) const {
  const std::lock_guard lock(mutex_);
  return find(id).status;
}

std::vector<JobStatus> JobRunner::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<JobStatus> all;
  for (const auto& [id, job] : jobs_) all.push_back(job->status);
  std::ranges::reverse(all);
  return all;
}

void JobRunner::cancel(std::string_view id) {
  const std::lock_guard lock(mutex_);
  find(id);
  jobs_.find(id)->second->cancel = true;
}

void JobRunner::forget_oldest(JobKind kind) {
  const auto is_ended = [kind](const Job& job) {
    return job.status.kind == kind && job.status.state != JobState::kRunning;
  };
  auto ended = static_cast<std::size_t>(
      std::ranges::count_if(jobs_, [&](const auto& each) { return is_ended(*each.second); }));
  for (auto it = jobs_.begin(); ended >= kMaxEndedJobs && it != jobs_.end();) {
    Job& job = *it->second;
    if (!is_ended(job)) {
      ++it;
      continue;
    }
    // The thread of an ended job has nothing left to do but to return.
    if (job.thread.joinable()) job.thread.join();
    database_.delete_job(it->first);
    it = jobs_.erase(it);
    --ended;
  }
}

}  // namespace vitrine::engine
