#include "engine/tuning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "live_support.h"
#include "support.h"

namespace vitrine::engine {
namespace {

using ::testing::HasSubstr;

/// As if it had been measured.
Measurement measured(double recall, double speed, double bytes = 2000, double p99_ms = 1,
                     double build_seconds = 1) {
  Measurement m;
  m.spec.kind = "hnsw";
  m.recall = recall;
  m.group_recalls = {recall};
  m.queries_per_second = speed;
  m.bytes_per_vector = bytes;
  m.p99_ms = p99_ms;
  m.build_seconds = build_seconds;
  return m;
}

TuningGoal goal(double recall, std::optional<double> bytes_per_vector = {},
                std::optional<double> p99_ms = {}) {
  return {recall, bytes_per_vector, p99_ms};
}

std::optional<std::size_t> chosen_of(const std::vector<Measurement>& measurements,
                                     const TuningGoal& wanted) {
  const TuningChoice choice = choose(measurements, wanted);
  EXPECT_EQ(choice.nearest, choice.chosen.value_or(choice.nearest));
  return choice.chosen;
}

TEST(Choose, TakesTheFastestThatReachesTheRecall) {
  const std::vector<Measurement> some = {measured(1, 100), measured(0.96, 900),
                                         measured(0.95, 1000), measured(0.94, 2000)};
  EXPECT_EQ(chosen_of(some, goal(0.95)), 2U);
  EXPECT_EQ(chosen_of(some, goal(0.955)), 1U);
  EXPECT_EQ(chosen_of(some, goal(1)), 0U);
  EXPECT_EQ(chosen_of(some, goal(0.5)), 3U);
  EXPECT_THAT(choose(some, goal(0.95)).reason, HasSubstr("3 of 4 ways"));
}

TEST(Choose, AsksTheRecallOfEveryGroup) {
  Measurement uneven = measured(0.97, 5000);
  uneven.group_recalls = {0.999, 0.941};
  EXPECT_EQ(chosen_of({measured(0.96, 900), uneven}, goal(0.95)), 0U);
  EXPECT_EQ(chosen_of({measured(0.96, 900), uneven}, goal(0.94)), 1U);
}

TEST(Choose, KeepsToTheBudgets) {
  const std::vector<Measurement> some = {
      measured(0.99, 5000, 4000, 0.3), measured(0.99, 900, 2000, 3), measured(0.99, 500, 1000, 5)};
  EXPECT_EQ(chosen_of(some, {}), 0U);
  EXPECT_EQ(chosen_of(some, goal(0.95, 2000)), 1U);
  EXPECT_EQ(chosen_of(some, goal(0.95, 1999)), 2U);
  EXPECT_EQ(chosen_of(some, goal(0.95, std::nullopt, 0.3)), 0U);
  EXPECT_EQ(chosen_of(some, goal(0.95, 3000, 2)), std::nullopt);
}

TEST(Choose, PrefersFewBytesAndAShortBuildAmongEquallyFast) {
  EXPECT_EQ(chosen_of({measured(0.99, 1000, 3000), measured(0.99, 960, 2000)}, {}), 1U);
  EXPECT_EQ(chosen_of({measured(0.99, 1000, 3000), measured(0.99, 940, 2000)}, {}), 0U);
  EXPECT_EQ(chosen_of({measured(0.99, 990, 2000, 1, 9), measured(0.99, 980, 2000, 1, 3),
                       measured(0.99, 1000, 2000, 1, 5)},
                      {}),
            1U);
  EXPECT_EQ(chosen_of({measured(0.99, 960), measured(0.99, 1000)}, {}), 1U);
}

TEST(Choose, NamesWhatComesNearestWhenNothingMeetsTheGoal) {
  const std::vector<Measurement> some = {measured(0.5, 5000, 1000, 1), measured(0.99, 900, 2100, 1),
                                         measured(1, 100, 8000, 9)};
  const TuningChoice choice = choose(some, goal(0.95, 2000));
  EXPECT_EQ(choice.chosen, std::nullopt);
  EXPECT_EQ(choice.nearest, 1U);
  EXPECT_THAT(choice.reason, HasSubstr("Nothing that was tried"));
  EXPECT_THAT(choice.reason, HasSubstr("at most 2000 bytes"));
  EXPECT_THAT(choice.reason, HasSubstr("2100 bytes a vector"));
  EXPECT_EQ(thrown_by([] { choose({}, {}); }).code, ErrorCode::kInvalidArgument);
}

TEST(TuningGoal, CountsMemoryForBothIndices) {
  TuningRequest request;
  EXPECT_EQ(goal_of(request, 1000).bytes_per_vector, std::nullopt);
  request.memory_mib = 4;
  EXPECT_EQ(goal_of(request, 1024).bytes_per_vector, 2048);
  request.goal.bytes_per_vector = 1000;
  EXPECT_EQ(goal_of(request, 1024).bytes_per_vector, 1000);
  request.goal.bytes_per_vector = 3000;
  EXPECT_EQ(goal_of(request, 1024).bytes_per_vector, 2048);
}

TEST(TuningGoal, SaysWhatIsOutOfRange) {
  const auto refused = [](const std::function<void(TuningRequest&)>& change) {
    TuningRequest request;
    change(request);
    return thrown_by([&] { request.validate(); }).message;
  };
  EXPECT_THAT(refused([](auto& r) { r.goal.recall = 0; }), HasSubstr("recall is 0"));
  EXPECT_THAT(refused([](auto& r) { r.goal.recall = 1.01; }), HasSubstr("recall is 1.01"));
  EXPECT_THAT(refused([](auto& r) { r.goal.bytes_per_vector = -1; }),
              HasSubstr("bytes_per_vector"));
  EXPECT_THAT(refused([](auto& r) { r.goal.p99_ms = 0; }), HasSubstr("latency_ms is 0"));
  EXPECT_THAT(refused([](auto& r) { r.memory_mib = 0; }), HasSubstr("memory_mb is 0"));
}

class Tuning : public ::testing::Test {
 protected:
  Tuning() : engine_(data_.path()) { engine_->index_catalog(catalog_.request()); }

  /// Leaves nothing to choose from but an ivf index of which a search visits one list.
  static TuningRequest request() {
    TuningRequest request;
    request.experiment.catalog = "shop";
    request.experiment.queries = 20;
    request.experiment.k = 3;
    request.experiment.min_seconds = 0;
    request.experiment.grid.kinds = {"ivf"};
    request.experiment.grid.values = {{"nlist", {40}}, {"nprobe", {1}}};
    request.goal.recall = 0.01;
    return request;
  }
  /// Whether searches that do not say visit one list, the flat index's answers being otherwise.
  void expect_tuned(TestEngine& engine) const {
    const auto catalog = engine->catalog("shop");
    EXPECT_EQ(catalog->index_kind(), "ivf");
    EXPECT_TRUE(catalog->request().tuned);
    EXPECT_EQ(catalog->request().index.nlist, 40);
    EXPECT_EQ(catalog->request().search.nprobe, 1);
    bool differs = false;
    for (const std::string& colour : colours()) {
      SearchRequest search = text_search(colour, 30);
      const std::vector<std::string> found = ids_of(engine->search(search));
      search.nprobe = 1;
      EXPECT_EQ(ids_of(engine->search(search)), found);
      search.nprobe = 40;
      differs = differs || ids_of(engine->search(search)) != found;
    }
    EXPECT_TRUE(differs);
  }

  TemporaryDirectory data_;
  TestCatalog catalog_{200};
  TestEngine engine_;
};

TEST_F(Tuning, AppliesItsChoiceToAGenerationThatIsKept) {
  const TuningReport report = engine_->tune(request());
  ASSERT_TRUE(report.choice.chosen) << report.choice.reason;
  EXPECT_EQ(report.generation, 2U);
  EXPECT_EQ(engine_->catalog("shop")->generation(), 2U);
  EXPECT_EQ(engine_->catalog("shop")->size(), 200U);
  expect_tuned(engine_);

  // A merge, a reindex and a restart keep it.
  engine_->delete_products("shop", std::vector<std::string>{"p3"});
  const JobStatus merge = await_job(*engine_.engine, engine_->start_merge("shop"));
  ASSERT_EQ(merge.state, JobState::kSucceeded) << merge.error;
  expect_tuned(engine_);
  const JobStatus reindex = await_job(*engine_.engine, engine_->start_reindex("shop"));
  ASSERT_EQ(reindex.state, JobState::kSucceeded) << reindex.error;
  expect_tuned(engine_);
  engine_.engine.reset();
  TestEngine reopened(data_.path());
  expect_tuned(reopened);

  // Another request is another index.
  reopened->index_catalog(catalog_.request());
  EXPECT_FALSE(reopened->catalog("shop")->request().tuned);
  EXPECT_EQ(reopened->catalog("shop")->request().search.nprobe, index::SearchOptions{}.nprobe);
}

TEST_F(Tuning, ChangesNothingOnADryRunOrWithoutAChoice) {
  TuningRequest dry = request();
  dry.apply = false;
  const TuningReport report = engine_->tune(dry);
  EXPECT_TRUE(report.choice.chosen);
  EXPECT_EQ(report.generation, std::nullopt);
  TuningRequest impossible = request();
  impossible.goal.bytes_per_vector = 1;
  const TuningReport nothing = engine_->tune(impossible);
  EXPECT_EQ(nothing.choice.chosen, std::nullopt);
  EXPECT_EQ(nothing.generation, std::nullopt);
  EXPECT_EQ(engine_->catalog("shop")->generation(), 1U);
  EXPECT_EQ(engine_->catalog("shop")->index_kind(), "flat");
}

TEST_F(Tuning, OfASampleIsNotApplied) {
  TuningRequest sample = request();
  sample.experiment.max_products = 12;
  for (const bool as_job : {false, true}) {
    const Thrown refused = thrown_by(
        [&] { as_job ? void(engine_->start_tuning(sample)) : void(engine_->tune(sample)); });
    EXPECT_EQ(refused.code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(refused.message, testing::HasSubstr("max_products is 12"));
  }
  sample.apply = false;
  EXPECT_EQ(engine_->tune(sample).experiment.vectors, 12U);
}

TEST_F(Tuning, TriesNoMoreEffortThanTheGoalNeeds) {
  TuningRequest easy = request();
  easy.apply = false;
  easy.experiment.grid.values = {{"nlist", {40}}, {"nprobe", {40, 80, 160}}};
  EXPECT_EQ(engine_->tune(easy).experiment.measurements.size(), 1U);
}

TEST_F(Tuning, RunsAsAJobThatIsRemembered) {
  const std::string id = engine_->start_tuning(request());
  const JobStatus job = await_job(*engine_.engine, id);
  ASSERT_EQ(job.state, JobState::kSucceeded) << job.error;
  EXPECT_EQ(job.kind, JobKind::kTune);
  engine_.engine.reset();
  TestEngine reopened(data_.path());
  const JobStatus kept = reopened->job(id);
  ASSERT_TRUE(kept.tuning);
  EXPECT_EQ(kept.tuning->generation, 2U);
  EXPECT_EQ(kept.tuning->choice, job.tuning->choice);
  EXPECT_EQ(kept.tuning->goal, job.tuning->goal);
  expect_tuned(reopened);
}

TEST_F(Tuning, DoesNotRunBesideWhatChangesTheCatalog) {
  ErrorCode code = ErrorCode::kInternal;
  engine_->tune(request(), [&](const IndexProgress&) {
    code = thrown_by([&] { engine_->start_merge("shop"); }).code;
  });
  EXPECT_EQ(code, ErrorCode::kFailedPrecondition);
}

}  // namespace
}  // namespace vitrine::engine
