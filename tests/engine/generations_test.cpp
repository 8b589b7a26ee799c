#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <set>
#include <thread>

#include "live_support.h"
#include "storage/generation_store.h"

namespace vitrine::engine {
namespace {

using ::testing::HasSubstr;

class Generations : public ::testing::Test {
 protected:
  std::vector<std::string> generation_folders(const std::string& catalog = "shop") const {
    std::vector<std::string> names;
    for (const auto& entry :
         std::filesystem::directory_iterator(data_.path() / "generations" / catalog)) {
      names.push_back(entry.path().filename());
    }
    std::ranges::sort(names);
    return names;
  }
  std::filesystem::path file_of(int generation, const std::string& name) const {
    return data_.path() / "generations" / "shop" / std::to_string(generation) / name;
  }

  TemporaryDirectory data_;
  TestCatalog catalog_{8};
};

TEST_F(Generations, AreServedAfterARestart) {
  std::string hash;
  {
    const TestEngine engine(data_.path());
    hash = engine->index_catalog(catalog_.request()).content_hash;
  }
  const TestEngine engine(data_.path());
  EXPECT_EQ(engine->catalog("shop")->content_hash(), hash);
  EXPECT_EQ(engine->search(text_search("red", 2)).hits[0].product.attributes.at("colour"), "red");
  EXPECT_EQ(engine.calls->images, 0);
}

TEST_F(Generations, AFolderBelongsToOneProcess) {
  const TestEngine engine(data_.path());
  const Thrown thrown = thrown_by([&] { TestEngine second(data_.path()); });
  EXPECT_EQ(thrown.code, ErrorCode::kUnavailable);
  EXPECT_THAT(thrown.message, HasSubstr("LOCK"));
}

TEST_F(Generations, OfAnotherEncoderCannotBeSearchedButOthersCan) {
  {
    const TestEngine engine(data_.path(), 'a');
    engine->index_catalog(catalog_.request("old"));
  }
  const TestEngine engine(data_.path(), 'b');
  engine->index_catalog(catalog_.request("shop"));
  EXPECT_EQ(engine.calls->images, 8);  // nothing of the other encoder's is reused
  SearchRequest request = text_search("red");
  EXPECT_EQ(engine->search(request).hits.size(), 8U);
  request.catalog = "old";
  const Thrown thrown = thrown_by([&] { engine->search(request); });
  EXPECT_EQ(thrown.code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(thrown.message, HasSubstr("another encoder"));
  EXPECT_THAT(thrown.message, HasSubstr("bbbbbbbbbbbb"));
  request.text.reset();
  request.product_id = "p0";
  EXPECT_EQ(thrown_by([&] { engine->search(request); }).code, ErrorCode::kFailedPrecondition);
  ClassifyRequest classify;
  classify.catalog = "old";
  classify.product_id = "p0";
  classify.labels = {"red"};
  EXPECT_EQ(thrown_by([&] { engine->classify(classify); }).code, ErrorCode::kFailedPrecondition);
  // Its products can be looked at, and it can be indexed anew.
  EXPECT_TRUE(engine->catalog("old")->product("p0"));
  const std::vector<CatalogSummary> summaries = engine->catalogs();
  ASSERT_EQ(summaries.size(), 2U);
  EXPECT_FALSE(summaries[0].searchable);
  EXPECT_THAT(summaries[0].problem, HasSubstr("another encoder"));
  EXPECT_TRUE(summaries[1].searchable);
  engine->index_catalog(catalog_.request("old"));
  request.product_id = "p1";
  EXPECT_EQ(engine->search(request).hits.size(), 7U);
}

TEST_F(Generations, TheLastOnesAreKeptAndOlderOnesSwept) {
  const TestEngine engine(data_.path(), 'a', {}, 3);
  for (int i = 0; i < 5; ++i) engine->index_catalog(catalog_.request());
  EXPECT_EQ(generation_folders(), (std::vector<std::string>{"3", "4", "5"}));
}

TEST_F(Generations, ARunThatFailsLeavesNothing) {
  const TestEngine engine(data_.path());
  engine->index_catalog(catalog_.request());
  catalog_.put_bytes("text", "no image");
  catalog_.write();
  IndexRequest request = catalog_.request();
  request.strict = true;
  EXPECT_EQ(thrown_by([&] { engine->index_catalog(request); }).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(generation_folders(), (std::vector<std::string>{"1"}));
}

TEST_F(Generations, ASnapshotStaysReadableHoweverOftenItsCatalogIsReindexed) {
  const TestEngine engine(data_.path(), 'a', {}, 1);
  engine->index_catalog(catalog_.request());
  std::shared_ptr<const Catalog> snapshot = engine->catalog("shop");
  for (int i = 0; i < 3; ++i) engine->index_catalog(catalog_.request());
  EXPECT_TRUE(snapshot->product("p3"));
  EXPECT_EQ(generation_folders(), (std::vector<std::string>{"1", "4"}));
  snapshot.reset();
  engine->index_catalog(catalog_.request());
  EXPECT_EQ(generation_folders(), (std::vector<std::string>{"5"}));
}

TEST_F(Generations, ADamagedOneGivesWayToThePreviousOne) {
  for (const char* file : {storage::kImageIndexFile, storage::kCaptionIndexFile, storage::kRowsFile,
                           storage::kManifestFile}) {
    const TemporaryDirectory data;
    {
      const TestEngine engine(data.path());
      engine->index_catalog(catalog_.request());
      engine->index_catalog(catalog_.request());
      engine->index_catalog(catalog_.request("other"));
    }
    damage(data.path() / "generations" / "shop" / "2" / file);
    const TestEngine engine(data.path());
    EXPECT_EQ(engine->search(text_search("red")).generation, 1U) << file;
    EXPECT_EQ(engine->search(text_search("red")).hits.size(), 8U) << file;
    for (const CatalogSummary& summary : engine->catalogs()) {
      EXPECT_TRUE(summary.searchable) << file;
      if (summary.name == "other") {
        EXPECT_EQ(summary.problem, "");
      } else {
        EXPECT_THAT(summary.problem, HasSubstr("generation 2 cannot be opened"));
        EXPECT_THAT(summary.problem, HasSubstr("generation 1 is served instead"));
      }
    }
    // A reindex heals it, and the damaged generation is not kept.
    EXPECT_EQ(engine->index_catalog(catalog_.request()).generation, 3U);
    EXPECT_EQ(engine->catalogs()[1].problem, "");
    EXPECT_FALSE(std::filesystem::exists(data.path() / "generations" / "shop" / "2"));
    EXPECT_TRUE(std::filesystem::exists(data.path() / "generations" / "shop" / "1"));
  }
}

TEST_F(Generations, OneThatCannotBeOpenedNowIsKeptForWhenItCan) {
  {
    const TestEngine engine(data_.path());
    engine->index_catalog(catalog_.request());
    engine->index_catalog(catalog_.request());
  }
  const std::filesystem::path manifest = file_of(2, storage::kManifestFile);
  const std::string sound = read_file(manifest, 1 << 20);
  std::filesystem::remove(manifest);
  std::filesystem::create_symlink(manifest.filename(), manifest);  // to itself: ELOOP
  {
    const TestEngine engine(data_.path());
    EXPECT_EQ(engine->search(text_search("red")).generation, 1U);
    EXPECT_THAT(engine->catalogs()[0].problem, HasSubstr("generation 2 cannot be opened"));
    EXPECT_EQ(engine->index_catalog(catalog_.request()).generation, 3U);
    EXPECT_EQ(engine->catalogs()[0].problem, "");
  }
  std::filesystem::remove(manifest);
  write_file_atomically(manifest, sound);
  damage(file_of(3, storage::kImageIndexFile));
  const TestEngine engine(data_.path());
  EXPECT_EQ(engine->search(text_search("red")).generation, 2U);
}

TEST_F(Generations, SayThatUpdatesMayBeMissingWhereTheLogWasDamaged) {
  std::mt19937 random(7);
  {
    const TestEngine engine(data_.path());
    engine->index_catalog(catalog_.request());
    for (int i = 0; i < 9; ++i) {
      const ProductUpdate update = precomputed_update(fmt::format("new{}", i), i, random);
      engine->upsert_products("shop", {&update, 1});
    }
  }
  for (const auto& entry : std::filesystem::directory_iterator(data_.path() / "meta")) {
    if (entry.path().extension() != ".log") continue;
    std::string log = read_file(entry.path(), 1 << 24);
    log[log.size() - 500] ^= 1;
    write_file_atomically(entry.path(), log);
  }
  const TestEngine engine(data_.path());
  EXPECT_THAT(engine->catalogs()[0].problem, HasSubstr("log was damaged"));
  EXPECT_TRUE(engine->catalogs()[0].searchable);
  EXPECT_TRUE(engine->catalog("shop")->product("new0"));
  EXPECT_FALSE(engine->catalog("shop")->product("new8"));
  EXPECT_EQ(await_job(*engine.engine, engine->start_merge("shop")).state, JobState::kSucceeded);
  EXPECT_THAT(engine->catalogs()[0].problem, HasSubstr("log was damaged"));
  engine->index_catalog(catalog_.request());
  EXPECT_EQ(engine->catalogs()[0].problem, "");
}

TEST_F(Generations, ACatalogThatCannotBeOpenedNowIsUnavailable) {
  {
    const TestEngine engine(data_.path());
    engine->index_catalog(catalog_.request());
  }
  const std::filesystem::path manifest = file_of(1, storage::kManifestFile);
  std::filesystem::remove(manifest);
  std::filesystem::create_symlink(manifest.filename(), manifest);
  const TestEngine engine(data_.path());
  const Thrown thrown = thrown_by([&] { engine->search(text_search("red")); });
  EXPECT_EQ(thrown.code, ErrorCode::kUnavailable);
  EXPECT_THAT(thrown.message, HasSubstr("restart"));
}

TEST_F(Generations, AReindexThatLosesMostProductsChangesNothing) {
  const TestEngine engine(data_.path());
  engine->index_catalog(catalog_.request());
  for (int i = 0; i < 5; ++i)
    std::filesystem::remove(catalog_.images() / fmt::format("p{}.png", i));
  const Thrown thrown = thrown_by([&] { engine->index_catalog(catalog_.request()); });
  EXPECT_EQ(thrown.code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(thrown.message, HasSubstr("5 of 8 products could not be indexed"));
  EXPECT_THAT(thrown.message, HasSubstr("does not exist in its image folder"));
  EXPECT_EQ(engine->search(text_search("red")).generation, 1U);
  // Products that a catalogue names no longer are not lost.
  for (int i = 0; i < 5; ++i) catalog_.remove("p" + std::to_string(i));
  catalog_.write();
  EXPECT_EQ(engine->index_catalog(catalog_.request()).indexed, 3U);
}

TEST_F(Generations, AReindexWhoseImageFolderGoesAwayMeanwhileChangesNothing) {
  TestCatalog larger(400);
  std::function<void()> before_images;
  const TestEngine engine(data_.path(), 'a', [&] {
    if (before_images) before_images();
  });
  engine->index_catalog(catalog_.request());
  before_images = [&] {
    before_images = {};
    std::filesystem::remove_all(larger.images());
    std::filesystem::create_directory(larger.images());
  };
  const Thrown thrown = thrown_by([&] { engine->index_catalog(larger.request()); });
  EXPECT_EQ(thrown.code, ErrorCode::kUnavailable);
  EXPECT_THAT(thrown.message, HasSubstr("image folder"));
  EXPECT_EQ(engine->search(text_search("red")).generation, 1U);
}

TEST_F(Generations, WithoutAnIntactOneTheCatalogIsReindexedFromWhatItWas) {
  {
    const TestEngine engine(data_.path());
    engine->index_catalog(catalog_.request());
  }
  damage(file_of(1, storage::kImageIndexFile));
  {
    const TestEngine engine(data_.path());
    EXPECT_EQ(engine->last_request("shop").catalog_file, catalog_.request().catalog_file);
    const std::string job = engine->start_reindex("shop", std::nullopt);
    EXPECT_EQ(await_job(*engine.engine, job).state, JobState::kSucceeded);
    EXPECT_EQ(engine->search(text_search("red")).hits.size(), 8U);
    EXPECT_EQ(thrown_by([&] { engine->last_request("none"); }).code, ErrorCode::kNotFound);
  }
  for (const int generation : {1, 2}) {
    std::filesystem::remove(file_of(generation, storage::kManifestFile));
  }
  const TestEngine engine(data_.path());
  const Thrown thrown = thrown_by([&] { engine->start_reindex("shop", std::nullopt); });
  EXPECT_EQ(thrown.code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(thrown.message, HasSubstr("vitrine index"));
}

TEST_F(Generations, WithoutAnIntactOneTheCatalogIsReportedAndOthersAreServed) {
  {
    const TestEngine engine(data_.path());
    engine->index_catalog(catalog_.request());
    engine->index_catalog(catalog_.request("other"));
  }
  damage(file_of(1, storage::kImageIndexFile));
  const TestEngine engine(data_.path());
  const Thrown thrown = thrown_by([&] { engine->search(text_search("red")); });
  EXPECT_EQ(thrown.code, ErrorCode::kCorruption);
  EXPECT_THAT(thrown.message, HasSubstr("index.faiss"));
  EXPECT_THAT(thrown.message, HasSubstr("indexed anew"));
  SearchRequest other = text_search("red");
  other.catalog = "other";
  EXPECT_EQ(engine->search(other).hits.size(), 8U);
  EXPECT_FALSE(engine->catalogs()[1].searchable);
  engine->index_catalog(catalog_.request());
  EXPECT_EQ(engine->search(text_search("red")).hits.size(), 8U);
}

TEST_F(Generations, SearchesNeverSeeAMixtureWhileTheCatalogIsReindexed) {
  // Every product of one state of the catalog carries its number in the caption: a search must see
  // hits of one state only, and never fail.
  const TestEngine engine(data_.path(), 'a', {}, 1);
  const auto index_state = [&](int state) {
    for (int i = 0; i < 8; ++i) {
      catalog_.set_caption("p" + std::to_string(i), "state " + std::to_string(state));
    }
    catalog_.write();
    engine->index_catalog(catalog_.request());
  };
  index_state(0);
  std::atomic<bool> stop{false};
  std::atomic<int> searches{0};
  std::atomic<int> newest_seen{0};
  std::vector<std::thread> readers;
  readers.reserve(3);
  for (int reader = 0; reader < 3; ++reader) {
    readers.emplace_back([&, reader] {
      SearchRequest request = text_search("red");
      if (reader == 1) {
        request.text.reset();
        request.product_id = "p2";
      }
      std::uint64_t last_generation = 0;
      while (!stop) {
        const SearchResponse response = engine->search(request);
        EXPECT_GE(response.generation, last_generation);
        last_generation = response.generation;
        ASSERT_GE(response.hits.size(), 7U);
        std::set<std::string> states;
        for (const Hit& hit : response.hits) states.insert(hit.product.caption);
        EXPECT_EQ(states.size(), 1U);
        newest_seen = std::max(newest_seen.load(), std::stoi(states.begin()->substr(6)));
        engine->catalogs();
        ++searches;
      }
    });
  }
  for (int state = 1; state <= 8; ++state) {
    index_state(state);
    const int before = searches;
    while (searches < before + 4) std::this_thread::yield();
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(newest_seen, 8);
}

}  // namespace
}  // namespace vitrine::engine
