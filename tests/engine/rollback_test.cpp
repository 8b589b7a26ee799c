#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "live_support.h"
#include "storage/generation_store.h"

namespace vitrine::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A catalogue of twelve products, and after a mistake of four.
class Rollback : public testing::Test {
 protected:
  void SetUp() override { engine->index_catalog(file.request()); }

  void reindex_by_mistake() {
    for (int i = 0; i < 8; ++i) file.remove("p" + std::to_string(i));
    file.write();
    EXPECT_EQ(engine->index_catalog(file.request()).indexed, 4U);
  }
  void reopen(char fingerprint = 'a') {
    engine.engine.reset();
    engine = TestEngine(data.path(), fingerprint);
  }
  void keep_three() {
    engine.engine.reset();
    engine = TestEngine(data.path(), 'a', {}, 3);
  }
  void upsert(const ProductUpdate& update) { engine->upsert_products("shop", {&update, 1}); }
  void erase(const std::string& id) { engine->delete_products("shop", {&id, 1}); }
  std::size_t size() const { return engine->catalog("shop")->size(); }
  std::vector<std::uint64_t> kept() const {
    std::vector<std::uint64_t> numbers;
    for (const GenerationSummary& each : engine->generations("shop")) {
      numbers.push_back(each.generation);
    }
    return numbers;
  }

  TemporaryDirectory data;
  TestCatalog file{12};
  TestEngine engine{data.path()};
  std::mt19937 random{20261130};
};

TEST_F(Rollback, UndoesAReindexAlsoAfterARestart) {
  reindex_by_mistake();
  const CatalogSummary now = engine->roll_back("shop");
  EXPECT_EQ(now.generation, 1U);
  EXPECT_EQ(now.products, 12U);
  EXPECT_TRUE(now.searchable);
  const auto expect_undone = [&] {
    EXPECT_EQ(engine->search(text_search("red", 20)).hits.size(), 12U);
    EXPECT_TRUE(engine->catalog("shop")->product("p3"));
    EXPECT_THAT(kept(), ElementsAre(1, 2));
    EXPECT_TRUE(engine->generations("shop")[0].served);
    EXPECT_FALSE(engine->generations("shop")[1].served);
  };
  expect_undone();
  reopen();
  expect_undone();
}

TEST_F(Rollback, CanBeUndoneUntilTheNextGeneration) {
  reindex_by_mistake();
  engine->roll_back("shop");
  EXPECT_EQ(engine->roll_back("shop", 2).products, 4U);
  EXPECT_THAT(kept(), ElementsAre(2, 1));
  engine->roll_back("shop");
  EXPECT_EQ(engine->index_catalog(file.request()).generation, 3U);
  EXPECT_THAT(kept(), ElementsAre(3, 1)) << "the mistake goes first";
}

TEST_F(Rollback, DoesNotBringBackWhatWasUndone) {
  keep_three();
  engine->index_catalog(file.request());
  reindex_by_mistake();
  EXPECT_EQ(engine->roll_back("shop").generation, 2U);
  EXPECT_THAT(kept(), ElementsAre(2, 1, 3)) << "what was undone stands in last";
  erase("p0");
  EXPECT_EQ(await_job(*engine.engine, engine->start_merge("shop")).state, JobState::kSucceeded);
  EXPECT_THAT(kept(), ElementsAre(4, 2, 1));
  EXPECT_EQ(engine->roll_back("shop").generation, 2U);
  EXPECT_EQ(size(), 11U);
}

TEST_F(Rollback, KeepsOlderGenerationsInOrder) {
  keep_three();
  engine->index_catalog(file.request());
  engine->index_catalog(file.request());
  EXPECT_EQ(engine->roll_back("shop", 1).generation, 1U);
  EXPECT_THAT(kept(), ElementsAre(1, 2, 3));
  EXPECT_EQ(engine->roll_back("shop", 3).generation, 3U);
  EXPECT_THAT(kept(), ElementsAre(3, 2, 1));
}

TEST_F(Rollback, PassesOverAGenerationThatIsDamaged) {
  keep_three();
  engine->index_catalog(file.request());
  reindex_by_mistake();
  damage(data.path() / "generations" / "shop" / "2" / storage::kImageIndexFile);
  EXPECT_EQ(engine->roll_back("shop").generation, 1U);
  EXPECT_EQ(size(), 12U);
  EXPECT_THAT(kept(), ElementsAre(1, 3));
}

TEST_F(Rollback, KeepsEveryUpdateThatWasAcknowledged) {
  upsert(precomputed_update("before", 1, random));
  upsert(precomputed_update("p11", 7, random));
  erase("p0");
  reindex_by_mistake();
  EXPECT_FALSE(engine->catalog("shop")->product("before")) << "the file replaced it";
  upsert(precomputed_update("after", 1, random));
  erase("p11");
  engine->roll_back("shop");
  const auto expect_all = [&] {
    EXPECT_EQ(size(), 12U);
    EXPECT_TRUE(engine->catalog("shop")->product("before"));
    EXPECT_TRUE(engine->catalog("shop")->product("after"));
    EXPECT_FALSE(engine->catalog("shop")->product("p0")) << "deleted before the reindex";
    EXPECT_FALSE(engine->catalog("shop")->product("p11")) << "deleted after it";
  };
  expect_all();
  reopen();
  expect_all();
  const JobStatus merged = await_job(*engine.engine, engine->start_merge("shop"));
  EXPECT_EQ(merged.state, JobState::kSucceeded);
  expect_all();
  upsert(precomputed_update("last", 1, random));
  EXPECT_EQ(size(), 13U) << "numbers of updates go on";
}

TEST_F(Rollback, KeepsUpdatesThatFollowAReindexFromNothingThatCouldBeOpened) {
  for (const char* id : {"p1", "p2", "p3"}) upsert(precomputed_update(id, 1, random));
  engine->index_catalog(file.request());
  engine->index_catalog(file.request());
  engine.engine.reset();
  const auto manifest_of = [&](int generation) {
    return data.path() / "generations" / "shop" / std::to_string(generation) /
           storage::kManifestFile;
  };
  const std::string sound = read_file(manifest_of(3), 1 << 20);
  for (const int generation : {2, 3}) {
    std::filesystem::remove(manifest_of(generation));
    std::filesystem::create_symlink(storage::kManifestFile, manifest_of(generation));  // ELOOP
  }
  reopen();
  EXPECT_EQ(engine->index_catalog(file.request()).generation, 4U);
  upsert(precomputed_update("after", 1, random));
  engine.engine.reset();
  std::filesystem::remove(manifest_of(3));
  write_file_atomically(manifest_of(3), sound);
  reopen();
  EXPECT_EQ(engine->roll_back("shop", 3).generation, 3U);
  EXPECT_EQ(size(), 13U);
  EXPECT_TRUE(engine->catalog("shop")->product("after"));
}

TEST_F(Rollback, RefusesWhatIsNotThereAndChangesNothing) {
  const auto refused = [&](const std::string& name, std::optional<std::uint64_t> generation) {
    return thrown_by([&] { engine->roll_back(name, generation); });
  };
  EXPECT_THAT(refused("shop", {}).message, HasSubstr("no sound generation before 1; there is: 1"));
  reindex_by_mistake();
  EXPECT_EQ(refused("none", {}).code, ErrorCode::kNotFound);
  EXPECT_EQ(thrown_by([&] { engine->generations("none"); }).code, ErrorCode::kNotFound);
  EXPECT_EQ(refused("shop", 7).code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(refused("shop", 7).message, HasSubstr("no sound generation 7; there are: 2, 1"));
  EXPECT_THAT(refused("shop", 2).message, HasSubstr("is current already"));
  damage(data.path() / "generations" / "shop" / "1" / storage::kImageIndexFile);
  EXPECT_EQ(refused("shop", 1).code, ErrorCode::kCorruption);
  EXPECT_THAT(refused("shop", {}).message, HasSubstr("no sound generation before 2; there is: 2"));
  EXPECT_EQ(size(), 4U);
  EXPECT_THAT(kept(), ElementsAre(2, 1));
}

TEST_F(Rollback, AcceptsWhatStandsInForADamagedGeneration) {
  reindex_by_mistake();
  engine.engine.reset();
  damage(data.path() / "generations" / "shop" / "2" / storage::kImageIndexFile);
  reopen();
  EXPECT_NE(engine->catalogs()[0].problem, "");
  EXPECT_EQ(thrown_by([&] { engine->roll_back("shop", 2); }).code, ErrorCode::kFailedPrecondition);
  engine->roll_back("shop");
  EXPECT_EQ(engine->catalogs()[0].problem, "");
  EXPECT_EQ(size(), 12U);
  EXPECT_THAT(kept(), ElementsAre(1));
  EXPECT_FALSE(std::filesystem::exists(data.path() / "generations" / "shop" / "2"));
}

TEST_F(Rollback, OfAnotherEncodersGenerationIsRefused) {
  reopen('b');
  engine->index_catalog(file.request());
  EXPECT_THAT(thrown_by([&] { engine->roll_back("shop"); }).message, HasSubstr("another encoder"));
  EXPECT_EQ(engine->search(text_search("red")).generation, 2U);
}

TEST_F(Rollback, ListsWhatEachGenerationIs) {
  reindex_by_mistake();
  damage(data.path() / "generations" / "shop" / "1" / storage::kManifestFile);
  const std::vector<GenerationSummary> all = engine->generations("shop");
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].products, 4U);
  EXPECT_EQ(all[0].index_kind, "flat");
  EXPECT_EQ(all[0].catalog_file, file.file());
  EXPECT_EQ(all[0].created_at, engine->catalog("shop")->created_at());
  EXPECT_EQ(all[0].problem, "");
  EXPECT_NE(all[1].problem, "");
}

}  // namespace
}  // namespace vitrine::engine
