#include "engine/report_json.h"

#include <gtest/gtest.h>

#include "engine/timestamp.h"
#include "support.h"

namespace vitrine::engine {
namespace {

TEST(JobJson, KeepsEveryField) {
  JobStatus job;
  job.id = "20240101T000000000Z-shop";
  job.catalog = "shop";
  job.state = JobState::kSucceeded;
  job.progress = {IndexStage::kBuilding, 3, 7, 1, 2.5, 1.6};
  job.report = IndexReport{};
  job.report->products = 7;
  job.report->indexed = 6;
  job.report->failed = 1;
  job.report->failures = {{"p3", 4, "the image is empty"}};
  job.report->content_hash = "abc";
  job.created_at = "2024-01-01T00:00:00.000Z";
  const nlohmann::json json = to_json(job);
  EXPECT_EQ(to_json(job_from_json(json)), json);
  const JobStatus read = job_from_json(json);
  EXPECT_EQ(read.state, JobState::kSucceeded);
  EXPECT_EQ(read.progress.stage, IndexStage::kBuilding);
  EXPECT_EQ(read.progress.total, 7);
  ASSERT_TRUE(read.report);
  ASSERT_EQ(read.report->failures.size(), 1U);
  EXPECT_EQ(read.report->failures[0].reason, "the image is empty");
}

TEST(JobJson, RefusesWhatItDidNotWrite) {
  nlohmann::json json = to_json(JobStatus{});
  json["state"] = "dreaming";
  EXPECT_EQ(thrown_by([&] { job_from_json(json); }).code, ErrorCode::kCorruption);
  EXPECT_EQ(thrown_by([] { job_from_json(nlohmann::json::array()); }).code, ErrorCode::kCorruption);
}

TEST(IndexSpecJson, KeepsEveryField) {
  index::IndexSpec spec;
  spec.kind = "hnsw";
  spec.nlist = 5;
  spec.hnsw_m = 6;
  spec.ef_construction = 70;
  spec.pq_bytes = 8;
  const index::IndexSpec read = index_spec_from_json(to_json(spec));
  EXPECT_EQ(read.kind, "hnsw");
  EXPECT_EQ(read.nlist, 5);
  EXPECT_EQ(read.hnsw_m, 6);
  EXPECT_EQ(read.ef_construction, 70);
  EXPECT_EQ(read.pq_bytes, 8);
}

TEST(IndexSpecJson, ReadsWhatWasStoredBeforeThereWereCodesOfAGivenSize) {
  nlohmann::json json = to_json(index::IndexSpec{});
  json.erase("pq_bytes");
  EXPECT_EQ(index_spec_from_json(json).pq_bytes, index::IndexSpec{}.pq_bytes);
}

TEST(Timestamp, IsRfc3339InUtc) {
  const std::chrono::system_clock::time_point leap_day(std::chrono::milliseconds(1709210096789));
  EXPECT_EQ(utc_timestamp(leap_day), "2024-02-29T12:34:56.789Z");
}

}  // namespace
}  // namespace vitrine::engine
