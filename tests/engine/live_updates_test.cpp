#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <limits>
#include <map>
#include <set>
#include <thread>

#include "live_support.h"
#include "storage/database.h"

namespace vitrine::engine {
namespace {

using ::testing::HasSubstr;

class LiveUpdates : public testing::Test {
 protected:
  void SetUp() override { engine->index_catalog(file.request()); }

  UpdateResult upsert(const ProductUpdate& update) {
    return engine->upsert_products("shop", {&update, 1}).front();
  }
  UpdateResult erase(const std::string& id) {
    return engine->delete_products("shop", {&id, 1}).front();
  }
  JobStatus merge() { return await_job(*engine.engine, engine->start_merge("shop")); }
  void reopen(const std::function<void(EngineOptions&)>& change = {}, char fingerprint = 'a') {
    engine.engine.reset();
    engine = TestEngine(data.path(), fingerprint, {}, 2, change);
  }
  std::shared_ptr<const Catalog> catalog() const { return engine->catalog("shop"); }
  int version_of(const std::string& id) const {
    const auto product = catalog()->product(id);
    return product ? product->attributes.value("v", 0) : -1;
  }

  TemporaryDirectory data;
  TestCatalog file{12};
  TestEngine engine{data.path()};
  std::mt19937 random{20240229};
};

TEST_F(LiveUpdates, AreSearchedAtOnceAndAfterARestart) {
  ProductUpdate update;
  update.id = "new";
  update.caption = "a blue thing";
  update.image_bytes = colour_png("blue", 4711);
  update.attributes = nlohmann::json{{"price", 3}};
  const UpdateResult result = upsert(update);
  EXPECT_FALSE(result.existed);
  EXPECT_EQ(result.sequence, 1U);
  SearchRequest like;
  like.catalog = "shop";
  like.image_bytes = update.image_bytes;
  const auto expect_found = [&] {
    const SearchResponse found = engine->search(like);
    ASSERT_FALSE(found.hits.empty());
    EXPECT_EQ(found.hits[0].product.id, "new");
    EXPECT_EQ(found.hits[0].product.attributes["price"], 3);
    EXPECT_NEAR(found.hits[0].score, 1, 1e-5);
    EXPECT_EQ(found.sequence, 1U);
    EXPECT_EQ(catalog()->read_image(found.hits[0].product), *update.image_bytes);
  };
  expect_found();
  reopen();
  expect_found();
  EXPECT_EQ(merge().state, JobState::kSucceeded);
  expect_found();
  reopen();
  expect_found();
  erase("new");
  const SearchResponse without = engine->search(like);
  ASSERT_EQ(without.hits.size(), 10U);
  EXPECT_NE(without.hits[0].product.id, "new");
}

TEST_F(LiveUpdates, EncodeOnlyWhatIsNew) {
  const auto before = catalog()->vector(Target::kImage, *catalog()->row_of("p3"));
  const auto encoded = [&] {
    return std::pair(engine.calls->images.exchange(0), engine.calls->texts.exchange(0));
  };
  encoded();
  ProductUpdate price;
  price.id = "p3";
  price.attributes = nlohmann::json{{"price", 9}};
  EXPECT_TRUE(upsert(price).existed);
  EXPECT_EQ(encoded(), std::pair(0, 0));
  EXPECT_EQ(catalog()->vector(Target::kImage, *catalog()->row_of("p3")), before);
  EXPECT_EQ(catalog()->product("p3")->attributes, *price.attributes);
  EXPECT_FALSE(catalog()->product("p3")->image.empty());

  ProductUpdate caption;
  caption.id = "p3";
  caption.caption = "a green hat that nobody described before";
  upsert(caption);
  EXPECT_EQ(encoded(), std::pair(0, 1));
  upsert(caption);
  EXPECT_EQ(encoded(), std::pair(0, 0));
  EXPECT_EQ(catalog()->product("p3")->attributes, *price.attributes);

  ProductUpdate image;
  image.id = "p3";
  image.image = catalog()->product("p7")->image;
  upsert(image);
  EXPECT_EQ(encoded(), std::pair(0, 0)) << "the image is in the embedding cache";
  image.image.reset();
  image.image_bytes = colour_png("red", 815);
  upsert(image);
  EXPECT_EQ(encoded(), std::pair(1, 0));
  EXPECT_EQ(merge().state, JobState::kSucceeded);
  EXPECT_EQ(encoded(), std::pair(0, 0));
}

TEST_F(LiveUpdates, OfARequestCountTogetherOrNotAtAll) {
  std::vector<ProductUpdate> updates = {precomputed_update("a", 1, random),
                                        precomputed_update("b", 1, random)};
  updates[1].caption.reset();
  updates[1].caption_embedding.reset();
  EXPECT_THAT(thrown_by([&] { engine->upsert_products("shop", updates); }).message,
              HasSubstr("\"b\" is new"));
  EXPECT_FALSE(catalog()->product("a"));
  EXPECT_EQ(catalog()->sequence(), 0U);
  const std::vector<std::string> ids = {"p1", "nobody"};
  EXPECT_EQ(thrown_by([&] { engine->delete_products("shop", ids); }).code, ErrorCode::kNotFound);
  EXPECT_TRUE(catalog()->product("p1"));
  EXPECT_EQ(catalog()->size(), 12U);
}

TEST_F(LiveUpdates, RefuseBadInput) {
  const ProductUpdate good = precomputed_update("a", 1, random);
  struct Case {
    std::function<void(ProductUpdate&)> spoil;
    std::string complaint;
    ErrorCode code = ErrorCode::kInvalidArgument;
  };
  const std::vector<Case> cases = {
      {[](auto& u) { u.id = std::string(10 << 20, 'x'); }, "at most 512"},
      {[](auto& u) { u.id = ""; }, "id"},
      {[](auto& u) { u.id = "a\nb"; }, "control character"},
      {[](auto& u) { (*u.image_embedding)[2] = std::numeric_limits<float>::quiet_NaN(); },
       "the image embedding has no direction: value 2 is not finite"},
      {[](auto& u) { (*u.caption_embedding)[0] = std::numeric_limits<float>::infinity(); },
       "not finite"},
      {[](auto& u) { u.image_embedding->push_back(0); }, "has 9 values; the encoder's have 8"},
      {[](auto& u) { u.caption_embedding->clear(); }, "has 0 values"},
      {[](auto& u) { u.image_embedding->assign(8, 0.0F); }, "no direction"},
      {[](auto& u) { u.caption = std::string(1 << 20, 'x'); }, "caption has"},
      {[](auto& u) { u.caption = ""; }, "caption"},
      {[](auto& u) { u.caption = "\xff"; }, "UTF-8"},
      {[](auto& u) { u.attributes = nlohmann::json::array(); }, "attributes"},
      {[](auto& u) {
         u.attributes = nlohmann::json{{"x", std::string(1 << 20, 'x')}};
       },
       "attributes have"},
      {[](auto& u) { u.image = "../secret.png"; }, "leaves its image folder",
       ErrorCode::kPermissionDenied},
      {[](auto& u) { u.image = "/etc/passwd"; }, "leaves its image folder",
       ErrorCode::kPermissionDenied},
      {[](auto& u) { u.image = "none.png"; }, "does not exist", ErrorCode::kInvalidArgument},
      {[](auto& u) { u.image = "upload:" + std::string(64, '0'); }, "program's own"},
      {[](auto& u) { u.image_bytes = "no image"; }, "product \"a\""},
      {[](auto& u) { u.image_bytes = colour_png("red", 1).substr(0, 60); }, "product \"a\""},
      {[](auto& u) {
         u.image = "x.png";
         u.image_bytes = colour_png("red", 1);
       },
       "give one of them"},
  };
  for (const Case& wrong : cases) {
    ProductUpdate update = good;
    wrong.spoil(update);
    const Thrown thrown = thrown_by([&] { upsert(update); });
    EXPECT_THAT(thrown.message, HasSubstr(wrong.complaint));
    EXPECT_EQ(thrown.code, wrong.code) << wrong.complaint;
    EXPECT_LT(thrown.message.size(), 2000U);
  }
  const std::vector<ProductUpdate> twice = {good, good};
  EXPECT_THAT(thrown_by([&] { engine->upsert_products("shop", twice); }).message,
              HasSubstr("twice"));
  EXPECT_EQ(thrown_by([&] { engine->upsert_products("none", twice); }).code, ErrorCode::kNotFound);
  EXPECT_EQ(thrown_by([&] { engine->upsert_products("shop", {}); }).code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(thrown_by([&] { erase(std::string(10 << 20, 'x')); }).code, ErrorCode::kNotFound);
  EXPECT_EQ(catalog()->sequence(), 0U);
  EXPECT_EQ(catalog()->size(), 12U);
  EXPECT_EQ(upsert(good).sequence, 1U);
}

TEST_F(LiveUpdates, ScaleEmbeddingsToUnitLength) {
  ProductUpdate update = precomputed_update("a", 1, random);
  const std::vector<float> unit = *update.image_embedding;
  upsert(update);
  EXPECT_EQ(catalog()->vector(Target::kImage, *catalog()->row_of("a")), unit) << "bit for bit";
  for (float& value : *update.image_embedding) value *= 17;
  upsert(update);
  const auto scaled = catalog()->vector(Target::kImage, *catalog()->row_of("a"));
  for (std::size_t i = 0; i < unit.size(); ++i) EXPECT_NEAR(scaled[i], unit[i], 1e-6);
}

TEST_F(LiveUpdates, BeforeAReindexAreReplacedAndThoseDuringItStay) {
  upsert(precomputed_update("before", 1, random));
  erase("p1");
  file.put("late", "red", 999);  // an image that must be encoded
  file.write();
  std::atomic<bool> done{false};
  engine.calls->before_images = [&] {
    if (done.exchange(true)) return;
    upsert(precomputed_update("during", 2, random));
    upsert(precomputed_update("p2", 2, random));
    erase("p3");
  };
  engine->index_catalog(file.request());
  engine.calls->before_images = {};
  ASSERT_TRUE(done);
  for (int opened = 0; opened < 2; ++opened) {
    EXPECT_FALSE(catalog()->product("before"));
    EXPECT_TRUE(catalog()->product("p1"));
    EXPECT_TRUE(catalog()->product("late"));
    EXPECT_EQ(version_of("during"), 2);
    EXPECT_EQ(version_of("p2"), 2);
    EXPECT_FALSE(catalog()->product("p3"));
    EXPECT_EQ(catalog()->size(), 13U);
    EXPECT_EQ(catalog()->sequence(), 5U);
    reopen();
  }
}

TEST_F(LiveUpdates, SurviveADamagedGeneration) {
  upsert(precomputed_update("a", 1, random));
  upsert(precomputed_update("b", 1, random));
  ASSERT_EQ(merge().state, JobState::kSucceeded);
  erase("a");
  upsert(precomputed_update("p5", 2, random));
  const std::uint64_t generation = catalog()->generation();
  engine.engine.reset();
  damage(data.path() / "generations" / "shop" / std::to_string(generation) / "index.faiss");
  reopen();
  EXPECT_LT(catalog()->generation(), generation);
  EXPECT_FALSE(catalog()->product("a")) << "deleted after the merge";
  EXPECT_EQ(version_of("b"), 1) << "merged into the damaged generation";
  EXPECT_EQ(version_of("p5"), 2);
  EXPECT_EQ(catalog()->size(), 13U);
  upsert(precomputed_update("c", 1, random));
  ASSERT_EQ(merge().state, JobState::kSucceeded);
  reopen();
  EXPECT_EQ(catalog()->size(), 14U);
  EXPECT_EQ(engine->catalogs()[0].problem, "");
}

TEST_F(LiveUpdates, AreForgottenWhenEveryKeptGenerationCoversThem) {
  const auto stored = [&] {
    engine.engine.reset();
    std::vector<std::uint64_t> sequences;
    storage::Database(data.path() / "meta").read_updates("shop", 0, [&](storage::Update&& update) {
      sequences.push_back(update.sequence);
    });
    reopen();
    return sequences;
  };
  upsert(precomputed_update("a", 1, random));
  merge();
  upsert(precomputed_update("b", 1, random));
  EXPECT_THAT(stored(), testing::ElementsAre(1, 2)) << "the first generation is kept";
  merge();
  EXPECT_THAT(stored(), testing::ElementsAre(2));
  merge();
  EXPECT_THAT(stored(), testing::IsEmpty());
  upsert(precomputed_update("c", 1, random));
  EXPECT_THAT(stored(), testing::ElementsAre(3)) << "numbers are not given twice";
  EXPECT_EQ(catalog()->size(), 15U);
}

TEST_F(LiveUpdates, KeepUploadsAsLongAsSomethingNamesThem) {
  ProductUpdate update = precomputed_update("a", 1, random);
  update.image_bytes = colour_png("red", 1);
  upsert(update);
  update.id = "b";
  upsert(update);
  const std::string name = catalog()->product("a")->image;
  const Sha256Digest digest = *storage::parse_upload_name(name);
  const auto kept = [&] {
    engine.engine.reset();
    const bool found =
        storage::Database(data.path() / "meta").get_upload("shop", digest).has_value();
    reopen();
    return found;
  };
  erase("a");
  merge();
  merge();
  merge();
  EXPECT_TRUE(kept());
  EXPECT_EQ(catalog()->read_image(*catalog()->product("b")), *update.image_bytes);
  erase("b");
  merge();
  EXPECT_TRUE(kept()) << "the previous generation has it";
  merge();
  EXPECT_FALSE(kept());
  update.id = "c";
  upsert(update);
  EXPECT_TRUE(kept());
}

TEST_F(LiveUpdates, OfAnotherEncoderAreRefused) {
  upsert(precomputed_update("a", 1, random));
  reopen({}, 'b');
  EXPECT_EQ(thrown_by([&] { upsert(precomputed_update("b", 1, random)); }).code,
            ErrorCode::kFailedPrecondition);
  EXPECT_EQ(thrown_by([&] { erase("a"); }).code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(version_of("a"), 1);
  engine->index_catalog(file.request());
  EXPECT_EQ(version_of("a"), -1);
  upsert(precomputed_update("b", 2, random));
  const std::uint64_t generation = catalog()->generation();
  engine.engine.reset();
  damage(data.path() / "generations" / "shop" / std::to_string(generation) / "rows");
  reopen({}, 'b');
  // The generation before is the first encoder's: of the updates, too, its own are served.
  EXPECT_EQ(catalog()->encoder_fingerprint(), std::string(64, 'a'));
  EXPECT_EQ(version_of("a"), 1);
  EXPECT_EQ(version_of("b"), -1);
}

TEST_F(LiveUpdates, AreMergedInTheBackgroundBySize) {
  reopen([](EngineOptions& options) {
    options.merge_size = 10;
    options.merge_age_sec = 0;
    options.merge_in_background = true;
  });
  const std::uint64_t generation = catalog()->generation();
  for (int i = 0; i < 9; ++i) upsert(precomputed_update("new" + std::to_string(i), i, random));
  EXPECT_EQ(catalog()->generation(), generation);
  erase("p0");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (catalog()->generation() == generation && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_GT(catalog()->generation(), generation);
  EXPECT_EQ(catalog()->size(), 20U);
  EXPECT_EQ(engine->jobs()[0].kind, JobKind::kMerge);
}

TEST_F(LiveUpdates, OfASmallCatalogAreMergedBeforeMergeSizeIsReached) {
  reopen([](EngineOptions& options) {
    options.merge_age_sec = 0;
    options.merge_in_background = true;
  });
  const std::uint64_t generation = catalog()->generation();
  std::vector<ProductUpdate> updates;
  for (int i = 0; i < 1000; ++i) {
    updates.push_back(precomputed_update("new" + std::to_string(i), i, random));
  }
  for (std::size_t i = 0; i < updates.size(); i += 100) {
    engine->upsert_products("shop", std::span(updates).subspan(i, 100));
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (catalog()->generation() == generation && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_GT(catalog()->generation(), generation);
}

TEST_F(LiveUpdates, AreMergedInTheBackgroundByAgeAlsoAfterARestart) {
  upsert(precomputed_update("a", 1, random));
  const std::uint64_t generation = catalog()->generation();
  reopen([](EngineOptions& options) {
    options.merge_size = 0;
    options.merge_age_sec = 1;
    options.merge_in_background = true;
  });
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (catalog()->generation() == generation && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_GT(catalog()->generation(), generation);
  EXPECT_EQ(version_of("a"), 1);
}

TEST_F(LiveUpdates, AreNotMergedByThemselvesIntoAGenerationThatStandsInForADamagedOne) {
  upsert(precomputed_update("a", 1, random));
  const std::uint64_t first = catalog()->generation();
  file.remove("p0");
  file.write();
  engine->index_catalog(file.request());
  engine->index_catalog(file.request("other"));
  engine.engine.reset();
  damage(data.path() / "generations" / "shop" / std::to_string(first + 1) / "index.faiss");
  reopen([](EngineOptions& options) {
    options.merge_size = 1;
    options.merge_in_background = true;
  });
  ASSERT_EQ(catalog()->generation(), first);
  // Each look at the catalogs comes by both: "other" is merged twice meanwhile.
  for (int version = 0; version < 2; ++version) {
    const std::uint64_t generation = engine->catalog("other")->generation();
    const ProductUpdate update = precomputed_update("b", version, random);
    engine->upsert_products("other", {&update, 1});
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (engine->catalog("other")->generation() == generation &&
           std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    ASSERT_GT(engine->catalog("other")->generation(), generation);
  }
  EXPECT_EQ(catalog()->generation(), first);
  EXPECT_NE(engine->catalogs()[1].problem, "");
  EXPECT_TRUE(
      std::filesystem::exists(data.path() / "generations" / "shop" / std::to_string(first + 1)));
  ASSERT_EQ(merge().state, JobState::kSucceeded) << "whoever asks for it accepts what is served";
  EXPECT_EQ(engine->catalogs()[1].problem, "");
}

TEST_F(LiveUpdates, AreTakenHoweverManyAreNotMergedWhenNoProductIsLeft) {
  reopen([](EngineOptions& options) {
    options.max_unmerged = 12;
    options.merge_size = 12;
  });
  for (int i = 0; i < 12; ++i) erase("p" + std::to_string(i));
  EXPECT_EQ(catalog()->size(), 0U);
  EXPECT_EQ(merge().state, JobState::kFailed);
  upsert(precomputed_update("a", 1, random));
  EXPECT_EQ(thrown_by([&] { upsert(precomputed_update("b", 1, random)); }).code,
            ErrorCode::kUnavailable);
  EXPECT_EQ(merge().state, JobState::kSucceeded);
  upsert(precomputed_update("b", 1, random));
  EXPECT_EQ(catalog()->size(), 2U);
}

TEST_F(LiveUpdates, ReadImagesOfAnySizeThatTheEngineTakes) {
  const std::string png = colour_png("blue", 4711, 64);
  file.put_bytes("large", png);
  ProductUpdate update;
  update.id = "large";
  update.image = "large.png";
  update.caption = "a blue thing";
  for (const bool fits : {false, true}) {
    reopen([&](EngineOptions& options) {
      options.image_limits.max_bytes = png.size() - (fits ? 0 : 1);
    });
    if (fits) {
      upsert(update);
    } else {
      EXPECT_EQ(thrown_by([&] { upsert(update); }).code, ErrorCode::kResourceExhausted);
    }
  }
}

TEST_F(LiveUpdates, AreRefusedWhileTooManyAreNotMerged) {
  reopen([](EngineOptions& options) {
    options.max_unmerged = 3;
    options.merge_size = 3;
  });
  for (int i = 0; i < 3; ++i) upsert(precomputed_update("a" + std::to_string(i), i, random));
  EXPECT_EQ(thrown_by([&] { upsert(precomputed_update("b", 1, random)); }).code,
            ErrorCode::kUnavailable);
  merge();
  EXPECT_EQ(upsert(precomputed_update("b", 1, random)).sequence, 4U);
}

TEST_F(LiveUpdates, OfManyThreadsAreSeenByTheirWritersBesideMergesAndReaders) {
  constexpr int kWriters = 4;
  constexpr int kUpdates = 60;
  std::atomic<int> wrong{0};
  std::atomic<int> writing{kWriters};
  std::vector<std::thread> threads;
  for (int writer = 0; writer < kWriters; ++writer) {
    threads.emplace_back([&, writer] {
      std::mt19937 own(static_cast<unsigned>(writer));
      for (int i = 0; i < kUpdates; ++i) {
        const std::string id = "w" + std::to_string(writer) + "-" + std::to_string(i % 7);
        if (i % 5 == 4 && catalog()->product(id)) {
          erase(id);
          if (catalog()->product(id)) ++wrong;
        } else {
          upsert(precomputed_update(id, i, own));
          if (version_of(id) != i) ++wrong;
        }
      }
      --writing;
    });
  }
  threads.emplace_back([&] {
    while (writing > 0) {
      const SearchResponse found = engine->search(text_search("red", 50));
      std::set<std::string> ids;
      for (const Hit& hit : found.hits) ids.insert(hit.product.id);
      if (ids.size() != found.hits.size() || ids.size() < 12) ++wrong;
    }
  });
  while (writing > 0) {
    if (merge().state != JobState::kSucceeded) ++wrong;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  std::map<std::string, int> versions;
  const auto served = catalog();
  for (const std::size_t row : served->live_rows()) {
    const std::string id(served->id(row));
    versions[id] = version_of(id);
  }
  const std::uint64_t sequence = served->sequence();
  reopen();
  EXPECT_EQ(catalog()->sequence(), sequence);
  EXPECT_EQ(catalog()->size(), versions.size());
  for (const auto& [id, version] : versions) EXPECT_EQ(version_of(id), version) << id;
}

}  // namespace
}  // namespace vitrine::engine
