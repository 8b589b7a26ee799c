#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "base/sha256.h"
#include "storage/database.h"
#include "support.h"

namespace vitrine::engine {
namespace {

using ::testing::HasSubstr;

class Indexing : public ::testing::Test {
 protected:
  TemporaryDirectory data_;
};

TEST_F(Indexing, ReportsWhatItDid) {
  const TestCatalog catalog(10);
  const TestEngine engine(data_.path());
  const IndexReport report = engine->index_catalog(catalog.request());
  EXPECT_EQ(report.products, 10U);
  EXPECT_EQ(report.indexed, 10U);
  EXPECT_EQ(report.encoded, 10U);
  EXPECT_EQ(report.cached, 0U);
  EXPECT_EQ(report.captions_encoded, 4U);  // one a colour
  EXPECT_EQ(report.captions_cached, 6U);
  EXPECT_EQ(report.failed, 0U);
  EXPECT_EQ(report.generation, 1U);
  EXPECT_EQ(report.content_hash, engine->catalog("shop")->content_hash());
  EXPECT_EQ(engine.calls->images, 10);
  EXPECT_EQ(engine.calls->texts, 4);
}

TEST_F(Indexing, EncodesOnlyWhatChanged) {
  TestCatalog catalog(30);
  const TestEngine engine(data_.path());
  const IndexReport first = engine->index_catalog(catalog.request());

  const IndexReport same = engine->index_catalog(catalog.request());
  EXPECT_EQ(same.encoded, 0U);
  EXPECT_EQ(same.cached, 30U);
  EXPECT_EQ(same.captions_encoded, 0U);
  EXPECT_EQ(same.content_hash, first.content_hash);
  EXPECT_EQ(same.generation, 2U);

  const IndexReport other_kind = engine->index_catalog(catalog.request("shop", "hnsw"));
  EXPECT_EQ(other_kind.encoded, 0U);
  EXPECT_EQ(other_kind.content_hash, first.content_hash);

  catalog.put("p3", "red", 1003);
  catalog.put("new", "blue", 1004);
  catalog.set_caption("p4", "a shirt in many colours");
  catalog.remove("p5");
  catalog.write();
  const IndexReport changed = engine->index_catalog(catalog.request());
  EXPECT_EQ(changed.products, 30U);
  EXPECT_EQ(changed.encoded, 2U);
  EXPECT_EQ(changed.cached, 28U);
  EXPECT_EQ(changed.captions_encoded, 1U);
  EXPECT_NE(changed.content_hash, first.content_hash);
  EXPECT_EQ(engine.calls->images, 32);
  EXPECT_FALSE(engine->catalog("shop")->product("p5"));
  EXPECT_TRUE(engine->catalog("shop")->product("new"));
}

TEST_F(Indexing, EncodesEqualImagesOnce) {
  TestCatalog catalog(0);
  for (int i = 0; i < 25; ++i) catalog.put("p" + std::to_string(i), "red", i % 2);
  catalog.write();
  const TestEngine engine(data_.path());
  const IndexReport report = engine->index_catalog(catalog.request());
  EXPECT_EQ(report.encoded, 2U);
  EXPECT_EQ(report.cached, 23U);
  EXPECT_EQ(engine.calls->images, 2);
}

TEST_F(Indexing, ImagesAndCaptionsNeverShareACacheEntry) {
  TestCatalog catalog(1);
  // A caption with the bytes of the image would have the same digest. Image bytes are no UTF-8, so
  // the cache is asked directly.
  const TestEngine engine(data_.path());
  engine->index_catalog(catalog.request());
  const std::string fingerprint = engine->encoder().fingerprint();
  const_cast<TestEngine&>(engine).engine.reset();
  const storage::Database database(data_.path() / "meta");
  const Sha256Digest image = sha256(colour_png("red", 0));
  const Sha256Digest caption = sha256("a red shirt");
  const auto has = [&](storage::EmbeddingKind kind, const Sha256Digest& digest) {
    return database.get_embeddings(fingerprint, kind, {&digest, 1}, ColourEncoder::kDimension)
        .front()
        .has_value();
  };
  EXPECT_TRUE(has(storage::EmbeddingKind::kImage, image));
  EXPECT_TRUE(has(storage::EmbeddingKind::kText, caption));
  EXPECT_FALSE(has(storage::EmbeddingKind::kText, image));
  EXPECT_FALSE(has(storage::EmbeddingKind::kImage, caption));
}

TEST_F(Indexing, ListsBrokenProductsAndGoesOn) {
  TestCatalog catalog(6);
  catalog.put_bytes("empty", "");
  catalog.put_bytes("text", "this is a text file named .png");
  catalog.put_bytes("cut", colour_png("red", 1, 64).substr(0, 150));
  // The header of a 100000x100000 PNG.
  std::string huge = colour_png("red", 1);
  const std::string side("\x00\x01\x86\xa0", 4);
  catalog.put_bytes("huge", huge.replace(16, 4, side).replace(20, 4, side));
  catalog.append({{"id", "gone"}, {"image", "gone.png"}, {"caption", "not there"}});
  catalog.append({{"id", "outside"}, {"image", "../products.json"}, {"caption", "no image"}});
  catalog.append({{"id", "p0"}, {"image", "p0.png"}, {"caption", "an id for the second time"}});
  catalog.append({{"id", "mute"}, {"image", "p0.png"}});
  catalog.put("last", "blue", 999);
  catalog.write();
  const TestEngine engine(data_.path());
  const IndexReport report = engine->index_catalog(catalog.request());
  EXPECT_EQ(report.products, 15U);
  EXPECT_EQ(report.indexed, 7U);
  EXPECT_EQ(report.failed, 8U);
  std::vector<std::string> ids;
  for (const FailedProduct& failure : report.failures) {
    ids.push_back(failure.id);
    EXPECT_FALSE(failure.reason.empty());
  }
  EXPECT_EQ(ids, (std::vector<std::string>{"empty", "text", "cut", "huge", "gone", "outside", "p0",
                                           "mute"}));
  EXPECT_EQ(report.failures.front().record, 7U);
  const auto shop = engine->catalog("shop");
  EXPECT_EQ(shop->size(), 7U);
  EXPECT_FALSE(shop->product("cut"));
  EXPECT_EQ(shop->id(6), "last");
  EXPECT_EQ(shop->product("p0")->caption, "a red shirt");
}

TEST_F(Indexing, StrictStopsAtABrokenProductAndKeepsTheOldGeneration) {
  TestCatalog catalog(6);
  const TestEngine engine(data_.path());
  const IndexReport first = engine->index_catalog(catalog.request());
  IndexRequest request = catalog.request();
  request.strict = true;
  EXPECT_EQ(engine->index_catalog(request).failed, 0U);

  catalog.put_bytes("text", "no image");
  catalog.write();
  Thrown thrown = thrown_by([&] { engine->index_catalog(request); });
  EXPECT_EQ(thrown.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(thrown.message, HasSubstr("\"text\""));
  catalog.remove("text");
  catalog.append({{"id", "mute"}, {"image", "p0.png"}});
  catalog.write();
  thrown = thrown_by([&] { engine->index_catalog(request); });
  EXPECT_EQ(thrown.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(thrown.message, HasSubstr("record 7"));
  EXPECT_EQ(engine->catalog("shop")->generation(), 2U);
  EXPECT_EQ(engine->catalog("shop")->content_hash(), first.content_hash);
}

TEST_F(Indexing, NothingToIndexIsAnErrorAndTheOldGenerationStays) {
  TestCatalog catalog(3);
  const TestEngine engine(data_.path());
  engine->index_catalog(catalog.request());
  const auto code = [&] {
    return thrown_by([&] { engine->index_catalog(catalog.request()); }).code;
  };
  for (const char* id : {"p0", "p1", "p2"}) catalog.remove(id);
  catalog.write();
  EXPECT_EQ(code(), ErrorCode::kInvalidArgument);
  catalog.append({{"id", "mute"}});
  catalog.write();
  EXPECT_EQ(code(), ErrorCode::kInvalidArgument);
  catalog.put_bytes("text", "no image");
  catalog.write();
  EXPECT_EQ(code(), ErrorCode::kInvalidArgument);
  std::ofstream(catalog.file()) << "[{\"id\": ";
  EXPECT_EQ(code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(engine->search(text_search("red")).hits.size(), 3U);
  EXPECT_EQ(engine->catalog("shop")->generation(), 1U);
}

TEST_F(Indexing, RefusesABadRequest) {
  const TestCatalog catalog(3);
  const TestEngine engine(data_.path());
  const auto code = [&](auto change) {
    IndexRequest request = catalog.request();
    change(request);
    return thrown_by([&] { engine->index_catalog(request); }).code;
  };
  EXPECT_EQ(code([](IndexRequest& r) { r.name = "../up"; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code([](IndexRequest& r) { r.name = ""; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code([](IndexRequest& r) { r.catalog_file = "/no/such/file.json"; }),
            ErrorCode::kNotFound);
  EXPECT_EQ(code([](IndexRequest& r) { r.index.kind = "tree"; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code([](IndexRequest& r) { r.image_source.type = "carrier pigeon"; }),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(code([](IndexRequest& r) { r.image_source.location = "/no/such/folder"; }),
            ErrorCode::kNotFound);
  EXPECT_TRUE(engine->catalogs().empty());
}

TEST_F(Indexing, TakesTheCatalogFilesFolderWhenNoOtherIsNamed) {
  TestCatalog catalog(0);
  catalog.put("p0", "red", 1);
  catalog.append({{"id", "p1"}, {"image", "images/p0.png"}, {"caption", "below the file"}});
  catalog.write();
  IndexRequest request = catalog.request();
  request.image_source.location.clear();
  const TestEngine engine(data_.path());
  const IndexReport report = engine->index_catalog(request);
  EXPECT_EQ(report.indexed, 1U);
  EXPECT_EQ(report.failed, 1U);
}

TEST_F(Indexing, TellsItsProgress) {
  const TestCatalog catalog(9);
  const TestEngine engine(data_.path());
  std::vector<IndexProgress> seen;
  engine->index_catalog(catalog.request(),
                        [&](const IndexProgress& progress) { seen.push_back(progress); });
  std::vector<IndexStage> stages;
  for (const IndexProgress& progress : seen) {
    if (stages.empty() || stages.back() != progress.stage) stages.push_back(progress.stage);
    if (progress.stage != IndexStage::kReading) {
      ASSERT_TRUE(progress.total);
      EXPECT_LE(progress.done, *progress.total);
    }
  }
  EXPECT_EQ(stages, (std::vector<IndexStage>{IndexStage::kReading, IndexStage::kEncoding,
                                             IndexStage::kBuilding, IndexStage::kPublishing}));
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const bool last_of_stage = i + 1 == seen.size() || seen[i + 1].stage != seen[i].stage;
    if (last_of_stage && seen[i].total) {
      EXPECT_EQ(seen[i].done, *seen[i].total);
    }
  }
}

TEST_F(Indexing, StopsWhenCancelledAndKeepsWhatWasEncoded) {
  const TestCatalog catalog(40);
  std::atomic<bool> cancel{false};
  int batches = 0;
  const TestEngine engine(data_.path(), 'a', [&] {
    if (++batches == 3) cancel = true;
  });
  const Thrown thrown = thrown_by([&] { engine->index_catalog(catalog.request(), {}, &cancel); });
  EXPECT_EQ(thrown.code, ErrorCode::kCancelled);
  EXPECT_TRUE(engine->catalogs().empty());
  const int encoded = engine.calls->images;
  EXPECT_GE(encoded, 12);
  EXPECT_LE(encoded, 16);  // one batch more may have been on its way
  const IndexReport report = engine->index_catalog(catalog.request());
  EXPECT_EQ(report.cached, static_cast<std::uint64_t>(encoded));
  EXPECT_EQ(report.encoded, static_cast<std::uint64_t>(40 - encoded));
}

TEST_F(Indexing, EndsCleanlyWhenTheEncoderFails) {
  const TestCatalog catalog(40);
  int batches = 0;
  const TestEngine engine(data_.path(), 'a', [&] {
    if (++batches == 2) throw internal_error("the model broke");
  });
  EXPECT_EQ(thrown_by([&] { engine->index_catalog(catalog.request()); }).code,
            ErrorCode::kInternal);
  EXPECT_EQ(engine->index_catalog(catalog.request()).cached, 4U);
}

TEST_F(Indexing, ContentHashCoversContentAndNothingElse) {
  TestCatalog catalog(5);
  TestEngine engine(data_.path());
  const std::string hash = engine->index_catalog(catalog.request()).content_hash;
  EXPECT_EQ(engine->index_catalog(catalog.request("other", "hnsw")).content_hash, hash);
  std::set<std::string> hashes = {hash};
  catalog.set_caption("p1", "another caption");
  catalog.write();
  hashes.insert(engine->index_catalog(catalog.request()).content_hash);
  catalog.put("p2", "blue", 55);
  catalog.write();
  hashes.insert(engine->index_catalog(catalog.request()).content_hash);
  catalog.remove("p4");
  catalog.write();
  hashes.insert(engine->index_catalog(catalog.request()).content_hash);
  EXPECT_EQ(hashes.size(), 4U);
}

}  // namespace
}  // namespace vitrine::engine
