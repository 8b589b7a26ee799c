#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/filter/filter_json.h"
#include "live_support.h"

namespace vitrine::engine {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<const Filter> filter_of(const std::string& text) {
  return std::make_shared<const Filter>(filter_from_json(nlohmann::json::parse(text)));
}

/// Products with random vectors, some of them live updates.
class BatchSearch : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    engine_->index_catalog(catalog_.request("shop", GetParam()));
    std::vector<ProductUpdate> updates;
    for (int i = 0; i < 300; ++i) {
      updates.push_back(precomputed_update("u" + std::to_string(i), i, random_));
    }
    engine_->upsert_products("shop", updates);
    await_job(*engine_.engine, engine_->start_merge("shop"));
    updates.resize(20);
    for (ProductUpdate& update : updates) update.image_embedding = random_unit_vector(random_);
    engine_->upsert_products("shop", updates);
    engine_->delete_products("shop", std::vector<std::string>{"u50", "u51"});
  }

  SearchRequest vector_search(int limit) {
    SearchRequest request;
    request.catalog = "shop";
    request.terms.resize(1);
    request.terms[0].vector = random_unit_vector(random_);
    request.limit = limit;
    return request;
  }

  /// The batch's outcomes, each of which must be what the search alone answers.
  std::vector<SearchOutcome> expect_as_alone(const std::vector<SearchRequest>& requests) {
    std::vector<SearchOutcome> outcomes = engine_->search_batch("shop", requests);
    EXPECT_EQ(outcomes.size(), requests.size());
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      const auto* const found = std::get_if<SearchResponse>(&outcomes[i]);
      if (found == nullptr) {
        const Thrown thrown = thrown_by([&] { engine_->search(requests[i]); });
        EXPECT_EQ(std::get<Error>(outcomes[i]).code(), thrown.code) << i;
        EXPECT_EQ(std::get<Error>(outcomes[i]).what(), thrown.message) << i;
        continue;
      }
      const SearchResponse alone = engine_->search(requests[i]);
      EXPECT_EQ(ids_of(*found), ids_of(alone)) << i;
      for (std::size_t h = 0; h < std::min(found->hits.size(), alone.hits.size()); ++h) {
        EXPECT_NEAR(found->hits[h].score, alone.hits[h].score, 2e-6) << i;
        EXPECT_EQ(found->hits[h].product, alone.hits[h].product) << i;
      }
      EXPECT_GT(found->timings.encode_ms, 0) << i;
      EXPECT_GE(found->timings.total_ms, found->timings.search_ms) << i;
      EXPECT_EQ(found->matching, alone.matching) << i;
      EXPECT_EQ(found->facets.size(), alone.facets.size()) << i;
      EXPECT_EQ(found->next_cursor.has_value(), alone.next_cursor.has_value()) << i;
      EXPECT_EQ(found->exact, alone.exact) << i;
      EXPECT_EQ(found->sequence, alone.sequence) << i;
      EXPECT_EQ(found->texts.size(), alone.texts.size()) << i;
    }
    return outcomes;
  }

  TemporaryDirectory data_;
  TestCatalog catalog_{12};
  TestEngine engine_{data_.path()};
  std::mt19937 random_{7};
};

INSTANTIATE_TEST_SUITE_P(Kinds, BatchSearch, ::testing::ValuesIn(index::index_kinds()),
                         [](const auto& kind) { return kind.param; });

TEST_P(BatchSearch, AnswersEachSearchAsAlone) {
  std::vector<SearchRequest> requests;
  for (int i = 0; i < 30; ++i) {
    SearchRequest request = vector_search(1 + i % 3 * 4);
    if (i % 4 == 1) request.exact = true;
    if (i % 5 == 2) request.target = Target::kCaption;
    if (i % 6 == 3) request.caption_weight = 0.3F;
    if (i % 7 == 4) request.min_score = 0.2F;
    if (i % 8 == 5) request.group_by = "v";
    if (i % 9 == 6) request.facets = {"v"};
    requests.push_back(std::move(request));
  }
  const auto few = filter_of(R"({"must": [{"key": "v", "range": {"lt": 40}}]})");
  const auto many = filter_of(R"({"must": [{"key": "v", "range": {"gte": 40}}]})");
  for (int i = 0; i < 12; ++i) {
    requests.push_back(vector_search(5));
    requests.back().filter = i % 2 == 0 ? few : many;
  }
  requests.push_back(text_search("blue", 5));
  requests.push_back(text_search("green", 5));
  requests.push_back(text_search("blue", 7));
  requests.push_back(vector_search(5));
  requests.back().terms[0] = {};
  requests.back().terms[0].product_id = "u7";
  requests.push_back(requests.back());
  requests.back().terms.emplace_back();
  requests.back().terms[1].image_bytes = colour_png("red", 3);
  requests.push_back(requests.back());
  requests.back().terms.emplace_back();
  requests.back().terms[2].text = "grey";
  requests.back().terms[2].weight = -0.5F;
  for (const SearchOutcome& outcome : expect_as_alone(requests)) {
    EXPECT_TRUE(std::holds_alternative<SearchResponse>(outcome));
  }
}

TEST_P(BatchSearch, GoesOnWhereThePageBeforeEnded) {
  std::vector<SearchRequest> requests;
  for (int i = 0; i < 4; ++i) requests.push_back(vector_search(6));
  std::vector<std::set<std::string>> seen(requests.size());
  for (int page = 0; page < 3; ++page) {
    const std::vector<SearchOutcome> outcomes = expect_as_alone(requests);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const auto& response = std::get<SearchResponse>(outcomes[i]);
      for (const std::string& id : ids_of(response)) EXPECT_TRUE(seen[i].insert(id).second);
      ASSERT_TRUE(response.next_cursor);
      requests[i].cursor = response.next_cursor;
    }
  }
}

TEST_P(BatchSearch, LeavesAFailedSearchsFaultInItsPlace) {
  std::vector<SearchRequest> requests(9, text_search("red", 3));
  requests[1].limit = 0;
  requests[2].text = "\xff";
  requests[3].text.reset();
  requests[3].product_id = "nope";
  requests[4].cursor = "1.2.3.4";
  requests[5].filter = filter_of(R"({"must": [{"key": "none", "match": {"value": 1}}]})");
  requests[6].text.reset();
  requests[6].image_bytes = "no image";
  requests[7] = vector_search(3);
  requests[7].terms[0].vector->resize(3);
  const std::vector<SearchOutcome> outcomes = expect_as_alone(requests);
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    EXPECT_EQ(std::holds_alternative<SearchResponse>(outcomes[i]), i == 0 || i == 8) << i;
  }
  EXPECT_EQ(std::get<Error>(outcomes[3]).code(), ErrorCode::kNotFound);
}

TEST_P(BatchSearch, FailsAsAWholeForWhatIsNoSearchsFault) {
  const std::vector<SearchRequest> requests(2, text_search("red", 3));
  const auto code = [&](const std::string& catalog, const std::vector<SearchRequest>& batch) {
    return thrown_by([&] { engine_->search_batch(catalog, batch); }).code;
  };
  EXPECT_EQ(code("none", {}), ErrorCode::kNotFound);
  EXPECT_EQ(code("none", requests), ErrorCode::kInvalidArgument);  // they name another
  EXPECT_EQ(code("shop", std::vector<SearchRequest>(kMaxBatchSearches + 1, requests[0])),
            ErrorCode::kInvalidArgument);
  EXPECT_TRUE(engine_->search_batch("shop", {}).empty());
}

TEST(BatchOfTexts, IsEncodedAtOnceAndEachTextOnce) {
  const TemporaryDirectory data;
  const TestCatalog catalog(8);
  const TestEngine engine(data.path(), 'a', {}, 2,
                          [](EngineOptions& options) { options.encoder.max_batch = 64; });
  engine->index_catalog(catalog.request());
  engine.calls->texts = 0;
  const std::uint64_t passes = engine->encoder_use().batching.text_passes;
  std::vector<SearchRequest> requests;
  for (int i = 0; i < 40; ++i) requests.push_back(text_search(colours()[i % 4] + " shirt", 3));
  const auto outcomes = engine->search_batch("shop", requests);
  EXPECT_EQ(engine.calls->texts, 4);
  EXPECT_EQ(engine->encoder_use().batching.text_passes, passes + 1);
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const auto& response = std::get<SearchResponse>(outcomes[i]);
    ASSERT_EQ(response.hits.size(), 3U);
    EXPECT_EQ(response.hits[0].product.attributes["colour"], colours()[i % 4]);
  }
}

// Range search: what min_score, limit and cursor are together.

class RangeSearch : public BatchSearch {};

INSTANTIATE_TEST_SUITE_P(Kinds, RangeSearch, ::testing::ValuesIn(index::index_kinds()),
                         [](const auto& kind) { return kind.param; });

TEST_P(RangeSearch, FindsEveryProductWithinIt) {
  const auto shop = engine_->catalog("shop");
  std::size_t expected = 0;
  std::size_t approximate = 0;
  for (const float min_score : {-2.0F, -0.3F, 0.0F, 0.2F, 0.5F, 0.7F, 0.95F, 2.0F}) {
    for (const bool exact : {true, false}) {
      SearchRequest request = vector_search(7);
      request.min_score = min_score;
      request.exact = exact;
      std::set<std::string> within;
      for (const std::size_t row : shop->live_rows()) {
        double score = 0;
        const std::vector<float> vector = shop->vector(Target::kImage, row);
        for (std::size_t i = 0; i < vector.size(); ++i) {
          score += static_cast<double>(vector[i]) * (*request.terms[0].vector)[i];
        }
        // Neither way is wrong within rounding of the bound.
        ASSERT_GT(std::abs(score - min_score), 1e-6);
        if (score > min_score) within.emplace(shop->id(row));
      }
      std::set<std::string> found;
      float last = 2;
      do {
        const SearchResponse page = engine_->search(request);
        for (const Hit& hit : page.hits) {
          EXPECT_TRUE(found.insert(hit.product.id).second) << "twice: " << hit.product.id;
          EXPECT_LE(hit.score, last);
          last = hit.score;
        }
        EXPECT_FALSE(page.truncated);
        request.cursor = page.next_cursor;
      } while (request.cursor);
      if (exact || GetParam() == "flat") {
        EXPECT_EQ(found, within) << min_score;
      } else {
        EXPECT_TRUE(std::ranges::includes(within, found)) << min_score;
        expected += within.size();
        approximate += found.size();
      }
    }
  }
  // A range reaches further than the lists or the beam that the ten best need.
  EXPECT_GE(static_cast<double>(approximate), 0.8 * static_cast<double>(expected));
}

}  // namespace
}  // namespace vitrine::engine
