#include "engine/job_runner.h"

#include <gtest/gtest.h>

#include <future>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "storage/database.h"

namespace vitrine::engine {
namespace {

TEST(JobRunner, LetsGoOfWhatAJobHoldsBeforeTheJobIsSeenToHaveEnded) {
  const TemporaryDirectory folder;
  storage::Database database(folder.path());
  JobRunner runner(database);
  std::promise<JobState> state;
  // As a job holds the claim on its catalog, which the next job needs.
  std::shared_ptr<void> claim(nullptr, [&](void*) { state.set_value(runner.all()[0].state); });
  runner.start("shop", JobKind::kMerge,
               [claim = std::move(claim)](const ProgressCallback&, const std::atomic<bool>&) {
                 return IndexReport{};
               });
  EXPECT_EQ(state.get_future().get(), JobState::kRunning);
}

TEST(JobRunner, RemembersTheLastJobsOfEachKind) {
  const TemporaryDirectory folder;
  storage::Database database(folder.path());
  JobRunner runner(database);
  const auto run = [&](JobKind kind) {
    const std::string id = runner.start(
        "shop", kind,
        [](const ProgressCallback&, const std::atomic<bool>&) { return IndexReport{}; });
    while (runner.status(id).state == JobState::kRunning) std::this_thread::yield();
    return id;
  };
  const std::string reindex = run(JobKind::kReindex);
  const std::string first_merge = run(JobKind::kMerge);
  for (std::size_t i = 0; i < JobRunner::kMaxEndedJobs; ++i) run(JobKind::kMerge);
  EXPECT_EQ(runner.all().size(), 1 + JobRunner::kMaxEndedJobs);
  EXPECT_EQ(runner.status(reindex).state, JobState::kSucceeded);
  EXPECT_THROW(runner.status(first_merge), Error);
  EXPECT_EQ(database.list_jobs().size(), 1 + JobRunner::kMaxEndedJobs);
}

TEST(JobRunner, TellsHowJobsEndedWithoutRoomOnTheDisk) {
  const TemporaryDirectory folder;
  std::string id;
  {
    storage::Database database(folder.path());
    JobRunner runner(database);
    std::promise<void> killed;
    id = runner.start("shop", JobKind::kReindex,
                      [&](const ProgressCallback&, const std::atomic<bool>&) {
                        killed.get_future().wait();
                        return IndexReport{};
                      });
    const nlohmann::json running = *database.get_job(id);
    killed.set_value();
    while (runner.status(id).state == JobState::kRunning) std::this_thread::yield();
    database.put_job(id, running);
  }
  storage::DatabaseOptions no_room;
  no_room.reserve_mb = std::numeric_limits<int>::max();
  storage::Database database(folder.path(), no_room);
  JobRunner runner(database);
  EXPECT_EQ(runner.status(id).state, JobState::kInterrupted);
  EXPECT_EQ(database.get_job(id)->at("state"), "interrupted");
  EXPECT_THROW(
      runner.start("shop", JobKind::kMerge,
                   [](const ProgressCallback&, const std::atomic<bool>&) { return IndexReport{}; }),
      Error);
}

}  // namespace
}  // namespace vitrine::engine
