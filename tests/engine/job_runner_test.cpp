#include "engine/job_runner.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <utility>

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

}  // namespace
}  // namespace vitrine::engine
