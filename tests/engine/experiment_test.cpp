#include "engine/experiment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <set>

#include "live_support.h"
#include "support.h"

namespace vitrine::engine {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Matrix random_rows(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  Matrix rows(count, ColourEncoder::kDimension);
  for (std::size_t i = 0; i < count; ++i) {
    std::ranges::copy(random_unit_vector(random), rows.row(i).begin());
  }
  return rows;
}

std::string refusal(const std::function<void()>& work) {
  const Thrown thrown = thrown_by(work);
  EXPECT_EQ(thrown.code, ErrorCode::kInvalidArgument);
  return thrown.message;
}

TEST(ExperimentGrid, HasEveryKindAndEveryCombination) {
  std::set<std::string> kinds;
  for (const GridBuild& build : expand({}, 10'000)) {
    kinds.insert(build.spec.kind);
    EXPECT_FALSE(build.searches.empty());
  }
  const std::vector<std::string> all = index::index_kinds();
  EXPECT_EQ(kinds, std::set<std::string>(all.begin(), all.end()));

  Grid grid;
  grid.kinds = {"ivf", "ivf"};
  grid.values = {{"nlist", {200, 100, 200}}, {"nprobe", {8, 1, 2}}, {"ef_search", {7}}};
  const std::vector<GridBuild> builds = expand(grid, 10'000);
  ASSERT_EQ(builds.size(), 2U);
  EXPECT_EQ(builds[0].spec.nlist, 100);
  EXPECT_EQ(builds[1].spec.nlist, 200);
  std::vector<int> nprobes;
  for (const index::SearchOptions& search : builds[1].searches) nprobes.push_back(search.nprobe);
  EXPECT_THAT(nprobes, ElementsAre(1, 2, 8));
  EXPECT_EQ(describe(builds[1].spec, builds[1].searches[2]), "ivf nlist=200 nprobe=8");
}

TEST(ExperimentGrid, SaysWhichValueIsWrong) {
  const auto grid = [](std::vector<std::string> kinds, const std::string& name,
                       std::vector<int> values) {
    return Grid{std::move(kinds), {{name, std::move(values)}}};
  };
  EXPECT_THAT(refusal([&] { expand(grid({"tree"}, "nprobe", {1}), 100); }), HasSubstr("\"tree\""));
  EXPECT_THAT(refusal([&] { expand(grid({}, "nprobes", {1}), 100); }), HasSubstr("\"nprobes\""));
  EXPECT_THAT(refusal([&] { expand(grid({}, "nprobe", {}), 100); }), HasSubstr("nprobe"));
  EXPECT_THAT(refusal([&] { expand(grid({}, "nprobe", {1, 0}), 100); }), HasSubstr("nprobe is 0"));
  EXPECT_THAT(refusal([&] { expand(grid({}, "hnsw_m", {1000}), 100); }),
              HasSubstr("hnsw_m is 1000"));
  std::vector<int> many(kMaxMeasurements + 1);
  std::iota(many.begin(), many.end(), 1);
  EXPECT_THAT(refusal([&] { expand(grid({"ivf"}, "nprobe", many), 100); }), HasSubstr("2000"));
  many.resize(kMaxBuilds + 1);
  EXPECT_THAT(refusal([&] { expand(grid({"ivf"}, "nlist", many), 100); }),
              HasSubstr("100 indices"));
}

TEST(Percentile, IsTheSmallestSampleWithEnoughAtOrBelowIt) {
  const std::vector<double> samples = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  EXPECT_EQ(percentile(samples, 0.5), 5);
  EXPECT_EQ(percentile(samples, 0.95), 10);
  EXPECT_EQ(percentile(samples, 0.0), 1);
  EXPECT_EQ(percentile(samples, 1.0), 10);
  EXPECT_EQ(percentile({7}, 0.99), 7);
}

TEST(GroundTruth, CountsEqualVectorsAsEquallyRight) {
  TestData data;
  data.vectors = random_rows(20, 1);
  for (const std::size_t copy : {7U, 13U}) {
    std::ranges::copy(data.vectors.row(2), data.vectors.row(copy).begin());
  }
  data.queries = Matrix(1, data.vectors.cols());
  std::ranges::copy(data.vectors.row(2), data.queries.row(0).begin());
  data.groups = {{"images", 1}};
  const auto index = index::build_index(data.vectors, {});
  const GroundTruth truth(*index, data, 2, nullptr);
  EXPECT_EQ(truth.recall(0, std::vector<std::int64_t>{2, 7}.data()), 1);
  EXPECT_EQ(truth.recall(0, std::vector<std::int64_t>{13, 7}.data()), 1);
  EXPECT_EQ(truth.recall(0, std::vector<std::int64_t>{13, 5}.data()), 0.5);
  EXPECT_EQ(truth.recall(0, std::vector<std::int64_t>{index::kNoRow, index::kNoRow}.data()), 0);
}

TEST(MeasureSearch, FindsTheRecallOfEachGroup) {
  const TemporaryDirectory folder;
  TestData data;
  data.vectors = random_rows(600, 2);
  data.queries = random_rows(30, 3);
  data.groups = {{"images", 10}, {"captions", 20}};
  index::IndexSpec spec;
  spec.kind = "ivf";
  spec.nlist = 40;
  const MeasuredIndex index = build_measured(data.vectors, spec, folder.path(), nullptr);
  EXPECT_GE(index.bytes_per_vector, sizeof(float) * ColourEncoder::kDimension);
  const GroundTruth truth(*index.index, data, 5, nullptr);
  index::SearchOptions search;
  search.nprobe = 1;
  const Measurement measured = measure_search(index, spec, search, data, truth, 0, nullptr);

  // The same from one search of all queries, by rows: no two of these vectors are equal.
  index::SearchOptions exact;
  exact.exact = true;
  const index::SearchResult found = index.index->search(data.queries, 5, search);
  const index::SearchResult best = index.index->search(data.queries, 5, exact);
  std::vector<double> recalls;
  for (std::size_t query = 0; query < 30; ++query) {
    int right = 0;
    for (std::size_t i = 0; i < 5; ++i) {
      const auto begin = best.rows.begin() + static_cast<std::ptrdiff_t>(5 * query);
      right += std::count(begin, begin + 5, found.rows[5 * query + i]);
    }
    recalls.push_back(right / 5.0);
  }
  const double images = std::accumulate(recalls.begin(), recalls.begin() + 10, 0.0) / 10;
  const double captions = std::accumulate(recalls.begin() + 10, recalls.end(), 0.0) / 20;
  ASSERT_EQ(measured.group_recalls.size(), 2U);
  EXPECT_NEAR(measured.group_recalls[0], images, 1e-9);
  EXPECT_NEAR(measured.group_recalls[1], captions, 1e-9);
  EXPECT_NEAR(measured.recall, (images + 2 * captions) / 3, 1e-9);
  EXPECT_LT(measured.recall, 1);
  EXPECT_EQ(measured.lowest_recall(), std::min(images, captions));
  EXPECT_GT(measured.queries_per_second, 0);
  EXPECT_LE(measured.p50_ms, measured.p95_ms);
  EXPECT_LE(measured.p95_ms, measured.p99_ms);
}

TEST(ParetoCurve, HasWhatNothingOfItsKindBeats) {
  const auto measured = [](const std::string& kind, double recall, double speed) {
    Measurement m;
    m.spec.kind = kind;
    m.recall = recall;
    m.queries_per_second = speed;
    return m;
  };
  EXPECT_THAT(
      on_pareto_curve(std::vector<Measurement>{
          measured("hnsw", 0.9, 1000), measured("hnsw", 0.95, 500), measured("hnsw", 0.95, 400),
          measured("hnsw", 0.8, 900), measured("ivf", 0.5, 10), measured("hnsw", 0.9, 1000)}),
      ElementsAre(true, true, false, false, true, true));
}

class Experiment : public ::testing::Test {
 protected:
  Experiment() : engine_(data_.path()) { engine_->index_catalog(catalog_.request()); }

  static ExperimentRequest request(QuerySource source) {
    ExperimentRequest request;
    request.catalog = "shop";
    request.source = source;
    request.queries = 10;
    request.k = 3;
    request.min_seconds = 0;
    request.grid.values = {{"nlist", {4}},
                           {"nprobe", {1, 4}},
                           {"hnsw_m", {4}},
                           {"ef_search", {8}},
                           {"ef_construction", {20}}};
    return request;
  }
  std::size_t folders() const {
    std::size_t count = 0;
    for (const auto& folder :
         std::filesystem::directory_iterator(data_.path() / "generations" / "shop")) {
      count += folder.is_directory() ? 1U : 0U;
    }
    return count;
  }

  TemporaryDirectory data_;
  TestCatalog catalog_{40};
  TestEngine engine_;
};

TEST_F(Experiment, MeasuresEveryKindAndHoldsItsQueriesOut) {
  const ExperimentReport report = engine_->experiment(request(QuerySource::kImages));
  EXPECT_EQ(report.vectors, 30U);
  EXPECT_THAT(report.queries, ElementsAre(QueryGroup{"images", 10}));
  std::set<std::string> kinds;
  for (const Measurement& m : report.measurements) {
    kinds.insert(m.spec.kind);
    const bool all_lists = m.spec.kind == "ivf" && m.search.nprobe == 4;
    if (m.spec.kind == "flat" || all_lists) {
      EXPECT_EQ(m.recall, 1) << m.spec.kind;
    }
    EXPECT_GT(m.bytes_per_vector, 0);
  }
  EXPECT_EQ(kinds.size(), index::index_kinds().size());
  EXPECT_EQ(folders(), 1U);  // nothing is left behind
  EXPECT_EQ(engine_->catalog("shop")->generation(), 1U);
}

TEST_F(Experiment, HoldsOutOnlyWhatWouldFindItself) {
  ExperimentRequest captions = request(QuerySource::kCaptions);
  EXPECT_EQ(engine_->experiment(captions).vectors, 40U);
  captions.target = Target::kCaption;
  EXPECT_EQ(engine_->experiment(captions).vectors, 30U);
  const ExperimentReport both = engine_->experiment(request(QuerySource::kBoth));
  EXPECT_EQ(both.vectors, 35U);
  EXPECT_THAT(both.queries, ElementsAre(QueryGroup{"images", 5}, QueryGroup{"captions", 5}));
  ExperimentRequest texts = request(QuerySource::kTexts);
  texts.texts = {"red", "something blue"};
  const ExperimentReport report = engine_->experiment(texts);
  EXPECT_EQ(report.vectors, 40U);
  EXPECT_THAT(report.queries, ElementsAre(QueryGroup{"texts", 2}));
}

TEST_F(Experiment, SearchesWhatIsAliveAndNoMoreThanAsked) {
  engine_->delete_products("shop", std::vector<std::string>{"p1", "p2"});
  std::mt19937 random(1);
  engine_->upsert_products("shop",
                           std::vector<ProductUpdate>{precomputed_update("new", 1, random)});
  EXPECT_EQ(engine_->experiment(request(QuerySource::kImages)).vectors, 29U);
  ExperimentRequest few = request(QuerySource::kImages);
  few.max_products = 12;
  EXPECT_EQ(engine_->experiment(few).vectors, 12U);
  few.queries = kMaxExperimentQueries;  // at most half of the products are queries
  few.max_products = 0;
  const ExperimentReport half = engine_->experiment(few);
  EXPECT_EQ(half.vectors, 20U);
  EXPECT_EQ(half.queries[0].count, 19U);
}

TEST_F(Experiment, RefusesWhatCannotBeMeasured) {
  const auto refused = [&](const std::function<void(ExperimentRequest&)>& change) {
    ExperimentRequest wrong = request(QuerySource::kImages);
    change(wrong);
    return refusal([&] { engine_->experiment(wrong); });
  };
  EXPECT_THAT(refused([](auto& r) { r.k = 0; }), HasSubstr("k is 0"));
  EXPECT_THAT(refused([](auto& r) { r.k = 31; }), HasSubstr("only 30 products"));
  EXPECT_THAT(refused([](auto& r) { r.queries = 0; }), HasSubstr("queries is 0"));
  EXPECT_THAT(refused([](auto& r) { r.grid.kinds = {"x"}; }), HasSubstr("\"x\""));
  EXPECT_THAT(refused([](auto& r) { r.source = QuerySource::kTexts; }), HasSubstr("0 texts"));
  EXPECT_THAT(refused([](auto& r) { r.texts = {"a"}; }), HasSubstr("the queries are others"));
  EXPECT_THAT(refused([](auto& r) {
                r.source = QuerySource::kVectors;
                r.vectors = Matrix(2, 3);
              }),
              HasSubstr("have 3 columns; the embeddings have 8"));
  EXPECT_THAT(refused([](auto& r) {
                r.source = QuerySource::kVectors;
                r.vectors = Matrix(2, 8);
              }),
              HasSubstr("query 0"));
  ExperimentRequest elsewhere = request(QuerySource::kImages);
  elsewhere.catalog = "attic";
  EXPECT_EQ(thrown_by([&] { engine_->start_experiment(elsewhere); }).code, ErrorCode::kNotFound);
}

TEST_F(Experiment, StopsWhenCancelledAndLeavesNothing) {
  std::atomic<bool> cancel{false};
  std::uint64_t steps = 0;
  const Thrown thrown = thrown_by([&] {
    engine_->experiment(
        request(QuerySource::kImages),
        [&](const IndexProgress& now) {
          EXPECT_EQ(now.stage, IndexStage::kMeasuring);
          ++steps;
          cancel = true;
        },
        &cancel);
  });
  EXPECT_EQ(thrown.code, ErrorCode::kCancelled);
  EXPECT_GT(steps, 0U);
  EXPECT_EQ(folders(), 1U);
}

TEST_F(Experiment, RunsAloneAndAsAJobThatIsRemembered) {
  ErrorCode second = ErrorCode::kInternal;
  engine_->experiment(request(QuerySource::kImages), [&](const IndexProgress&) {
    second = thrown_by([&] { engine_->start_experiment(request(QuerySource::kImages)); }).code;
  });
  EXPECT_EQ(second, ErrorCode::kFailedPrecondition);

  const std::string id = engine_->start_experiment(request(QuerySource::kBoth));
  const JobStatus job = await_job(*engine_.engine, id);
  ASSERT_EQ(job.state, JobState::kSucceeded) << job.error;
  EXPECT_EQ(job.kind, JobKind::kExperiment);
  ASSERT_TRUE(job.experiment);
  EXPECT_EQ(job.experiment->vectors, 35U);
  engine_.engine.reset();
  const TestEngine reopened(data_.path());
  const JobStatus kept = reopened->job(id);
  ASSERT_TRUE(kept.experiment);
  EXPECT_EQ(kept.experiment->measurements.size(), job.experiment->measurements.size());
  EXPECT_EQ(kept.experiment->measurements[1].p99_ms, job.experiment->measurements[1].p99_ms);
}

TEST(SmallExperiment, NeedsTwoProducts) {
  const TemporaryDirectory data;
  const TestCatalog catalog(1);
  TestEngine engine(data.path());
  engine->index_catalog(catalog.request());
  ExperimentRequest request;
  request.catalog = "shop";
  EXPECT_EQ(thrown_by([&] { engine->experiment(request); }).code, ErrorCode::kFailedPrecondition);
}

}  // namespace
}  // namespace vitrine::engine
