#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "storage/database.h"
#include "support.h"

namespace vitrine::engine {
namespace {

using ::testing::HasSubstr;

/// Holds the encoder at a batch until it is opened.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void await_arrival() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return arrived_ > 0; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int arrived_ = 0;
};

JobStatus await_end(const Engine& engine, const std::string& id) {
  while (engine.job(id).state == JobState::kRunning) std::this_thread::yield();
  return engine.job(id);
}

class Jobs : public ::testing::Test {
 protected:
  TemporaryDirectory data_;
  TestCatalog catalog_{12};
};

TEST_F(Jobs, RepeatWhatBuiltTheCatalog) {
  const TestEngine engine(data_.path());
  engine->index_catalog(catalog_.request("shop", "hnsw"));
  catalog_.put("new", "red", 500);
  catalog_.put_bytes("text", "no image");
  catalog_.write();
  const std::string id = engine->start_reindex("shop");
  const JobStatus job = await_end(*engine.engine, id);
  EXPECT_EQ(job.id, id);
  EXPECT_EQ(job.catalog, "shop");
  EXPECT_EQ(job.state, JobState::kSucceeded) << job.error;
  ASSERT_TRUE(job.report);
  EXPECT_EQ(job.report->encoded, 1U);
  EXPECT_EQ(job.report->cached, 12U);
  ASSERT_EQ(job.report->failures.size(), 1U);
  EXPECT_EQ(job.report->failures[0].id, "text");
  EXPECT_LE(job.created_at, job.finished_at);
  EXPECT_EQ(engine->catalog("shop")->generation(), 2U);
  EXPECT_EQ(engine->catalog("shop")->index_kind(), "hnsw");
  // The next may start as soon as this one is seen to have ended.
  EXPECT_EQ(await_end(*engine.engine, engine->start_reindex("shop")).state, JobState::kSucceeded);
}

TEST_F(Jobs, TakeARequestOfTheirOwn) {
  const TestEngine engine(data_.path());
  const std::string id = engine->start_reindex("shop", catalog_.request("ignored", "ivf"));
  EXPECT_EQ(await_end(*engine.engine, id).state, JobState::kSucceeded);
  EXPECT_EQ(engine->catalog("shop")->index_kind(), "ivf");
  EXPECT_EQ(thrown_by([&] { engine->start_reindex("attic"); }).code, ErrorCode::kNotFound);
  IndexRequest bad = catalog_.request();
  bad.catalog_file = "/no/such/file.json";
  EXPECT_EQ(thrown_by([&] { engine->start_reindex("shop", bad); }).code, ErrorCode::kNotFound);
}

TEST_F(Jobs, RunOneAtATimeForACatalog) {
  Gate gate;
  const TestEngine engine(data_.path(), 'a', [&] { gate.pass(); });
  const std::string id = engine->start_reindex("shop", catalog_.request());
  gate.await_arrival();
  EXPECT_EQ(engine->job(id).state, JobState::kRunning);
  EXPECT_EQ(engine->job(id).progress.stage, IndexStage::kEncoding);
  const Thrown thrown = thrown_by([&] { engine->start_reindex("shop", catalog_.request()); });
  EXPECT_EQ(thrown.code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(thrown.message, HasSubstr("being indexed already"));
  EXPECT_EQ(thrown_by([&] { engine->index_catalog(catalog_.request()); }).code,
            ErrorCode::kFailedPrecondition);
  gate.open();
  EXPECT_EQ(await_end(*engine.engine, id).state, JobState::kSucceeded);
}

TEST_F(Jobs, CanBeCancelled) {
  Gate gate;
  const TestEngine engine(data_.path(), 'a', [&] { gate.pass(); });
  const std::string id = engine->start_reindex("shop", catalog_.request());
  gate.await_arrival();
  engine->cancel_job(id);
  gate.open();
  const JobStatus job = await_end(*engine.engine, id);
  EXPECT_EQ(job.state, JobState::kCancelled);
  EXPECT_FALSE(job.report);
  EXPECT_TRUE(engine->catalogs().empty());
  engine->cancel_job(id);  // has ended: stays as it is
  EXPECT_EQ(thrown_by([&] { engine->cancel_job("no-such-job"); }).code, ErrorCode::kNotFound);
}

TEST_F(Jobs, SayWhyTheyFailed) {
  const TestEngine engine(data_.path());
  engine->index_catalog(catalog_.request());
  for (int i = 0; i < 12; ++i) catalog_.remove("p" + std::to_string(i));
  catalog_.write();
  const JobStatus job = await_end(*engine.engine, engine->start_reindex("shop"));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_FALSE(job.error.empty());
  EXPECT_EQ(engine->catalog("shop")->generation(), 1U);
}

TEST_F(Jobs, AreCancelledAndJoinedWithTheEngineAndRemembered) {
  Gate gate;
  std::string id;
  {
    TestEngine engine(data_.path(), 'a', [&] { gate.pass(); });
    id = engine->start_reindex("shop", catalog_.request());
    gate.await_arrival();
    std::thread opener([&] { gate.open(); });
    engine.engine.reset();
    opener.join();
  }
  const TestEngine engine(data_.path());
  const JobState state = engine->job(id).state;
  EXPECT_TRUE(state == JobState::kInterrupted || state == JobState::kSucceeded);
  EXPECT_EQ(thrown_by([&] { engine->job("no-such-job"); }).code, ErrorCode::kNotFound);
}

TEST_F(Jobs, ThatRanWhenTheProcessDiedAreInterrupted) {
  {
    const TestEngine engine(data_.path());
    await_end(*engine.engine, engine->start_reindex("shop", catalog_.request()));
  }
  {
    storage::Database database(data_.path() / "meta");
    nlohmann::json job = database.list_jobs().front().second;
    job["id"] = "29990101T000000000Z-shop";
    job["state"] = "running";
    database.put_job("29990101T000000000Z-shop", job);
    database.put_job("broken", {{"id", "broken"}});
  }
  const TestEngine engine(data_.path());
  const std::vector<JobStatus> jobs = engine->jobs();
  ASSERT_EQ(jobs.size(), 2U);
  EXPECT_EQ(jobs[0].id, "29990101T000000000Z-shop");
  EXPECT_EQ(jobs[0].state, JobState::kInterrupted);
  EXPECT_EQ(jobs[1].state, JobState::kSucceeded);
}

}  // namespace
}  // namespace vitrine::engine
