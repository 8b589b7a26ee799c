#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "engine/filter/filter_json.h"
#include "engine/filter/matches.h"
#include "index/vector_index.h"
#include "live_support.h"
#include "storage/database.h"
#include "storage/generation_store.h"
#include "support.h"

namespace vitrine::engine {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

std::shared_ptr<const Filter> filter_of(const json& filter) {
  return std::make_shared<const Filter>(filter_from_json(filter));
}

json match(const std::string& key, const json& value) {
  return {{"key", key}, {"match", {{"value", value}}}};
}

/// `count` products "q0", "q1", ... with a price, a size and tags.
struct PricedCatalog : TestCatalog {
  explicit PricedCatalog(int count) : TestCatalog(0) {
    for (int i = 0; i < count; ++i) {
      const std::string id = "q" + std::to_string(i);
      const std::string& colour = colours()[static_cast<std::size_t>(i) % colours().size()];
      put(id, colour, i);
      remove(id);  // but not its image
      json record = {{"id", id},         {"image", id + ".png"}, {"caption", colour},
                     {"colour", colour}, {"price", i % 10},      {"size", {{"eu", 36 + i % 5}}}};
      record["tags"] = i % 3 == 0 ? json::array({"new", "sale"}) : json::array();
      if (i % 7 == 0) record["sold"] = i;
      append(record);
    }
    write();
  }
};

/// The hits of a search without a filter, those that do not pass taken out.
std::vector<std::string> brute_force(const Engine& engine, SearchRequest request) {
  const std::shared_ptr<const Filter> filter = request.filter;
  const auto limit = static_cast<std::size_t>(request.limit);
  request.filter = nullptr;
  request.limit = kMaxLimit;
  request.exact = true;
  std::vector<std::string> ids;
  for (const Hit& hit : engine.search(request).hits) {
    if (ids.size() < limit && matches(*filter, hit.product)) ids.push_back(hit.product.id);
  }
  return ids;
}

class FilteredSearch : public ::testing::TestWithParam<std::string> {};

TEST_P(FilteredSearch, HasTheHitsOfBruteForce) {
  const TemporaryDirectory data;
  const PricedCatalog catalog(200);
  TestEngine engine(data.path());
  engine->index_catalog(catalog.request("shop", GetParam()));
  std::mt19937 random(3);
  const json filters[] = {
      json::object(),
      {{"must", match("colour", "red")}},
      {{"must", {match("colour", "red"), {{"key", "price"}, {"range", {{"gte", 4}}}}}}},
      {{"must_not", {match("tags", "sale")}}},
      {{"should", {match("size.eu", 38), match("price", 7)}}},
      {{"must", {{{"key", "sold"}, {"is_empty", false}}}}},
      {{"must", {{{"has_id", {"q1", "q2", "q77", "none"}}}}}},
      {{"must", {match("colour", "red"), match("colour", "blue")}}},
  };
  const auto check = [&] {
    for (const json& filter : filters) {
      SearchRequest request = text_search("something red", 10);
      request.filter = filter_of(filter);
      request.nprobe = 1000;
      request.ef_search = 1000;
      for (const bool exact : {false, true}) {
        request.exact = exact;
        const SearchResponse response = engine->search(request);
        EXPECT_EQ(ids_of(response), brute_force(*engine.engine, request)) << filter.dump();
        std::size_t passing = 0;
        SearchRequest all = text_search("something red", kMaxLimit);
        for (const Hit& hit : engine->search(all).hits) {
          passing += matches(*request.filter, hit.product) ? 1U : 0U;
        }
        EXPECT_EQ(response.matching, passing) << filter.dump();
      }
    }
  };
  check();

  // Updates change what passes: an attribute, a product more, a product less.
  ProductUpdate cheaper;
  cheaper.id = "q5";
  cheaper.attributes = json{{"colour", "red"}, {"price", 9}};
  ProductUpdate added = precomputed_update("added", 1, random);
  added.attributes = json{{"colour", "red"}, {"price", 7.5}, {"season", "spring"}};
  const ProductUpdate updates[] = {cheaper, added};
  engine->upsert_products("shop", updates);
  const std::string deleted[] = {"q8"};
  engine->delete_products("shop", deleted);
  check();

  SearchRequest request = text_search("anything", 10);
  request.filter = filter_of({{"must", match("season", "spring")}});  // of the delta alone
  request.facets = {"season"};
  SearchResponse response = engine->search(request);
  EXPECT_THAT(ids_of(response), UnorderedElementsAre("added"));
  EXPECT_EQ(response.facets.at(0).values, (std::vector<FacetValue>{{"spring", 1}}));

  const JobStatus merge = await_job(*engine.engine, engine->start_merge("shop"));
  ASSERT_EQ(merge.state, JobState::kSucceeded) << merge.error;
  check();
  EXPECT_THAT(ids_of(engine->search(request)), UnorderedElementsAre("added"));
}

INSTANTIATE_TEST_SUITE_P(Kinds, FilteredSearch, ::testing::ValuesIn(index::index_kinds()),
                         [](const auto& kind) { return kind.param; });

TEST(Filters, HavePagesOfTheirOwn) {
  const TemporaryDirectory data;
  const PricedCatalog catalog(40);
  TestEngine engine(data.path());
  engine->index_catalog(catalog.request());
  SearchRequest request = text_search("red", 3);
  request.filter = filter_of({{"must", match("price", 4)}});
  request.cursor = engine->search(request).next_cursor;
  ASSERT_TRUE(request.cursor);
  request.filter = filter_of({{"must", match("price", 4.0)}});  // the same filter, read anew
  EXPECT_EQ(engine->search(request).hits.size(), 1U);
  for (const auto& other :
       {filter_of({{"must", match("price", 5)}}), std::shared_ptr<const Filter>()}) {
    request.filter = other;
    const Thrown thrown = thrown_by([&] { engine->search(request); });
    EXPECT_EQ(thrown.code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(thrown.message, HasSubstr("another search"));
  }
}

TEST_P(FilteredSearch, GroupsByTheFirstElementOfAList) {
  const TemporaryDirectory data;
  const PricedCatalog catalog(30);
  TestEngine engine(data.path());
  engine->index_catalog(catalog.request("shop", GetParam()));
  SearchRequest request = text_search("red", 30);
  request.exact = true;
  request.filter = filter_of({{"must", match("tags", "new")}});
  EXPECT_EQ(engine->search(request).hits.size(), 10U);
  request.group_by = "tags";
  EXPECT_EQ(engine->search(request).hits.size(), 1U);
}

TEST_P(FilteredSearch, TellsWhatItMissedOfTheExactHits) {
  const TemporaryDirectory data;
  const PricedCatalog catalog(300);
  TestEngine engine(data.path());
  engine->index_catalog(catalog.request("shop", GetParam()));
  std::mt19937 random(5);
  engine->upsert_products("shop", std::vector<ProductUpdate>{precomputed_update("new", 1, random)});

  SearchRequest plain = text_search("something red", 20);
  plain.nprobe = 1;
  plain.ef_search = 1;
  SearchRequest filtered = plain;
  filtered.filter = filter_of({{"must", match("price", 4)}});
  SearchRequest grouped = plain;
  grouped.group_by = "price";
  SearchRequest strong = plain;
  strong.min_score = engine->search(plain).hits[7].score;
  SearchRequest next = plain;
  next.cursor = engine->search(plain).next_cursor;
  SearchRequest both = plain;
  both.caption_weight = 0.5F;
  std::size_t missed = 0;
  for (SearchRequest request : {plain, filtered, grouped, strong, next, both}) {
    EXPECT_FALSE(engine->search(request).comparison);
    request.compare = true;
    const SearchResponse response = engine->search(request);
    const std::vector<std::string> found = ids_of(response);
    ASSERT_TRUE(response.comparison);

    // The same from two searches; the page of a cursor belongs to either.
    request.compare = false;
    EXPECT_EQ(ids_of(engine->search(request)), found);
    std::vector<std::string> exact;
    if (request.cursor) {
      SearchRequest all = plain;
      all.exact = true;
      all.limit = kMaxLimit;
      const std::string last = ids_of(engine->search(plain)).back();
      const std::vector<std::string> ids = ids_of(engine->search(all));
      const auto begin = std::ranges::find(ids, last) + 1;
      exact.assign(begin, begin + 20);
    } else {
      request.exact = true;
      exact = ids_of(engine->search(request));
    }
    std::vector<std::string> lacking;
    for (const std::string& id : exact) {
      if (std::ranges::find(found, id) == found.end()) lacking.push_back(id);
    }
    EXPECT_EQ(response.comparison->missed, lacking);
    EXPECT_EQ(response.comparison->exact_hits, exact.size());
    EXPECT_DOUBLE_EQ(response.comparison->recall,
                     1 - static_cast<double>(lacking.size()) / static_cast<double>(exact.size()));
    missed += lacking.size();
  }
  if (GetParam() == "flat") {
    EXPECT_EQ(missed, 0U);
  }
  if (GetParam() == "ivf") {
    EXPECT_GT(missed, 0U);
  }
}

TEST(Filters, FindAllOfNothingWhenComparedWithExactHits) {
  const TemporaryDirectory data;
  const PricedCatalog catalog(12);
  TestEngine engine(data.path());
  engine->index_catalog(catalog.request("shop", "hnsw"));
  SearchRequest request = text_search("red");
  request.compare = true;
  request.min_score = 2;
  const SearchResponse response = engine->search(request);
  ASSERT_TRUE(response.comparison);
  EXPECT_EQ(response.comparison->exact_hits, 0U);
  EXPECT_EQ(response.comparison->recall, 1);
  EXPECT_TRUE(response.comparison->missed.empty());
}

TEST(Filters, CountTheValuesOfWhatPasses) {
  const TemporaryDirectory data;
  const PricedCatalog catalog(40);
  TestEngine engine(data.path());
  engine->index_catalog(catalog.request());
  SearchRequest request = text_search("red", 2);
  request.facets = {"colour", "tags"};
  SearchResponse response = engine->search(request);
  EXPECT_EQ(response.hits.size(), 2U);
  EXPECT_EQ(response.matching, 40U);
  ASSERT_EQ(response.facets.size(), 2U);
  EXPECT_EQ(response.facets[0].field, "colour");
  EXPECT_EQ(response.facets[0].values,
            (std::vector<FacetValue>{{"blue", 10}, {"green", 10}, {"grey", 10}, {"red", 10}}));
  EXPECT_EQ(response.facets[1].values, (std::vector<FacetValue>{{"new", 14}, {"sale", 14}}));

  request.filter = filter_of({{"must", {{{"key", "price"}, {"range", {{"lt", 2}}}}}}});
  response = engine->search(request);
  EXPECT_EQ(response.matching, 8U);  // q0, q1, q10, q11, ...
  EXPECT_EQ(response.facets[0].values,
            (std::vector<FacetValue>{{"blue", 2}, {"green", 2}, {"grey", 2}, {"red", 2}}));

  request.facets = {"colour", "color"};
  EXPECT_THAT(thrown_by([&] { engine->search(request); }).message,
              HasSubstr("facets[1]: no product of catalog shop has a field \"color\""));
  request.facets.assign(kMaxFacets + 1, "colour");
  EXPECT_THAT(thrown_by([&] { engine->search(request); }).message,
              HasSubstr("at most 20 are counted"));
}

TEST(Filters, RefuseAFieldThatNoProductHasBeforeAnythingIsEncoded) {
  const TemporaryDirectory data;
  const PricedCatalog catalog(8);
  TestEngine engine(data.path());
  engine->index_catalog(catalog.request());
  const int texts = engine.calls->texts;
  SearchRequest request = text_search("red");
  request.filter = filter_of({{"must", match("cost", 5)}});
  const Thrown thrown = thrown_by([&] { engine->search(request); });
  EXPECT_EQ(thrown.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(thrown.message, HasSubstr("filter.must.match: no product of catalog shop"));
  EXPECT_THAT(thrown.message, HasSubstr("\"price\""));
  EXPECT_EQ(engine.calls->texts, texts);
}

TEST(Filters, WorkOnAGenerationThatWasBuiltWithoutAttributes) {
  const TemporaryDirectory data;
  const PricedCatalog catalog(30);
  { TestEngine(data.path())->index_catalog(catalog.request()); }
  {
    // As an older program left it: without the file, and without its line in the manifest.
    storage::GenerationStore generations(data.path());
    storage::Manifest manifest = generations.open("shop", 1);
    EXPECT_TRUE(std::ranges::any_of(manifest.files,
                                    [](const auto& file) { return file.name == kAttributesFile; }));
    const std::filesystem::path folder = generations.folder("shop", 1);
    std::filesystem::remove(folder / kAttributesFile);
    std::filesystem::remove(folder / storage::kManifestFile);
    generations.finish(manifest);
  }
  TestEngine engine(data.path());
  SearchRequest request = text_search("red", 20);
  request.filter = filter_of({{"must", match("colour", "red")}});
  const SearchResponse response = engine->search(request);
  EXPECT_EQ(response.matching, 8U);
  EXPECT_EQ(response.hits.size(), 8U);
}

TEST(Filters, RefuseADamagedFile) {
  const TemporaryDirectory data;
  const PricedCatalog catalog(30);
  { TestEngine(data.path())->index_catalog(catalog.request()); }
  damage(data.path() / "generations" / "shop" / "1" / kAttributesFile);
  TestEngine engine(data.path());
  EXPECT_EQ(thrown_by([&] { engine->search(text_search("red")); }).code, ErrorCode::kCorruption);
}

}  // namespace
}  // namespace vitrine::engine
