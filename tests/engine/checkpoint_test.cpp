// The engine with real checkpoints, where the other tests use an encoder of their own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "support.h"
#include "tiny_checkpoint.h"

namespace vitrine::engine {
namespace {

class Checkpoint : public ::testing::Test {
 protected:
  Checkpoint() { write_tiny_checkpoint(folder_.path() / "model", 1); }

  EngineOptions options(const std::string& model = "model") const {
    EngineOptions options = options_in(folder_.path() / "data", 8);
    options.encoder.model = folder_.path() / model;
    return options;
  }

  TemporaryDirectory folder_;
  TestCatalog catalog_{24};
};

TEST_F(Checkpoint, GoesTheWholeWay) {
  Engine engine(options());
  EXPECT_EQ(engine.encoder().dimension(), 16);
  const IndexReport report = engine.index_catalog(catalog_.request("shop", "hnsw"));
  EXPECT_EQ(report.indexed, 24U);
  EXPECT_EQ(report.encoded, 24U);
  // Whatever the weights: an image finds itself, and a caption finds itself.
  SearchRequest request = text_search("");
  request.text.reset();
  request.image_bytes = colour_png("green", 5);
  const SearchResponse found = engine.search(request);
  EXPECT_EQ(found.hits[0].product.id, "p5");
  EXPECT_NEAR(found.hits[0].score, 1, 1e-4);
  request = text_search("a blue shirt", 6);
  request.target = Target::kCaption;
  for (const Hit& hit : engine.search(request).hits) {
    EXPECT_EQ(hit.product.caption, "a blue shirt");
    EXPECT_NEAR(hit.score, 1, 1e-4);
  }
  ClassifyRequest classify;
  classify.image_bytes = colour_png("red", 5);
  classify.labels = colours();
  double sum = 0;
  for (const LabelScore& label : engine.classify(classify).labels) sum += label.probability;
  EXPECT_NEAR(sum, 1, 1e-5);
  EXPECT_EQ(engine.index_catalog(catalog_.request()).encoded, 0U);
}

TEST_F(Checkpoint, WithOtherWeightsIsAnotherEncoder) {
  Engine(options()).index_catalog(catalog_.request());
  write_tiny_checkpoint(folder_.path() / "other", 2);
  Engine engine(options("other"));
  EXPECT_EQ(thrown_by([&] { engine.search(text_search("red")); }).code,
            ErrorCode::kFailedPrecondition);
  EXPECT_EQ(engine.index_catalog(catalog_.request()).encoded, 24U);
  EXPECT_EQ(engine.search(text_search("red")).hits.size(), 10U);
}

TEST_F(Checkpoint, AnswersWhileACatalogIsIndexed) {
  Engine engine(options());
  engine.index_catalog(catalog_.request());
  const TestCatalog larger(60, 1000);
  const std::string job = engine.start_reindex("shop", larger.request());
  int searches = 0;
  do {
    EXPECT_EQ(engine.search(text_search("red")).hits.size(), 10U);
    ++searches;
  } while (engine.job(job).state == JobState::kRunning);
  EXPECT_EQ(engine.job(job).state, JobState::kSucceeded);
  EXPECT_GT(searches, 0);
  EXPECT_EQ(engine.catalog("shop")->size(), 60U);
}

TEST_F(Checkpoint, IndexesRealPhotographs) {
  const std::filesystem::path file =
      std::filesystem::path(VITRINE_SHARED_DIR) / "catalogs" / "clothing" / "catalog.jsonl";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is missing";
  Engine engine(options());
  IndexRequest request;
  request.name = "clothing";
  request.catalog_file = file;
  request.image_source.location = file.parent_path() / "images";
  const IndexReport report = engine.index_catalog(request);
  EXPECT_EQ(report.products, 713U);
  EXPECT_EQ(report.products, report.indexed + report.failed);
  EXPECT_GT(report.indexed, 700U);
  EXPECT_EQ(report.encoded + report.cached, report.indexed);
  for (const FailedProduct& failure : report.failures) {
    std::printf("record %llu (%s): %s\n", static_cast<unsigned long long>(failure.record),
                failure.id.c_str(), failure.reason.c_str());
  }
}

}  // namespace
}  // namespace vitrine::engine
