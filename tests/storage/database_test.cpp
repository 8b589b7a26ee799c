#include "storage/database.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <limits>
#include <thread>

#include "base/file.h"
#include "storage/database_keys.h"
#include "tests/storage/error_code.h"

namespace vitrine::storage {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::StartsWith;

class DatabaseTest : public ::testing::Test {
 protected:
  void reopen() {
    database_.reset();
    database_ = std::make_unique<Database>(path_);
  }

  const TemporaryDirectory folder_;
  const fs::path path_ = folder_.path() / "data/meta";
  std::unique_ptr<Database> database_ = std::make_unique<Database>(path_);
};

Product product(const std::string& id) {
  return {id, id + ".png", "caption of " + id, {{"price", 12.5}, {"tags", {"a", "b"}}}};
}

std::vector<Product> products(std::initializer_list<const char*> ids) {
  std::vector<Product> result;
  for (const char* id : ids) result.push_back(product(id));
  return result;
}

Matrix matrix(std::size_t rows, std::size_t cols, float first) {
  Matrix result(rows, cols);
  for (std::size_t i = 0; i < rows * cols; ++i) result.data()[i] = first + static_cast<float>(i);
  return result;
}

TEST_F(DatabaseTest, ReturnsProductsByCatalogGenerationAndId) {
  database_->put_products("shop", 1, products({"a", "b"}));
  database_->put_products("shop", 2, products({"b"}));
  reopen();
  EXPECT_EQ(database_->get_product("shop", 1, "a"), product("a"));
  EXPECT_EQ(database_->get_product("shop", 2, "a"), std::nullopt);
  EXPECT_EQ(database_->get_product("other", 1, "a"), std::nullopt);
  const std::vector<std::string> ids = {"b", "absent", "a", "b"};
  const auto found = database_->get_products("shop", 1, ids);
  EXPECT_THAT(found, ElementsAre(product("b"), std::nullopt, product("a"), product("b")));
  EXPECT_TRUE(database_->get_products("shop", 1, {}).empty());
}

TEST_F(DatabaseTest, LeavesRoomOnTheDisk) {
  database_->put_products("shop", 1, products({"a", "b"}));
  DatabaseOptions more_than_there_is;
  more_than_there_is.reserve_mb = std::numeric_limits<int>::max();
  database_.reset();
  database_ = std::make_unique<Database>(path_, more_than_there_is);
  EXPECT_THAT(error_of([&] { database_->put_products("shop", 2, products({"a"})); }),
              AllOf(StartsWith("unavailable: "), HasSubstr("MiB are free")));
  EXPECT_EQ(database_->get_product("shop", 1, "a"), product("a"));
  database_->delete_products("shop", 1);
  EXPECT_EQ(database_->get_product("shop", 1, "a"), std::nullopt);
  EXPECT_THAT(error_of([&] { database_->put_job("job", json::object()); }),
              StartsWith("unavailable: "));
  database_->finish_job("job", {{"state", "failed"}});
  EXPECT_TRUE(database_->get_job("job"));
}

TEST_F(DatabaseTest, TellsWhatADamagedLogHasLost) {
  for (int i = 0; i < 10; ++i) database_->put_job(fmt::format("job-{}", i), {{"number", i}});
  EXPECT_EQ(database_->loss(), "");
  database_.reset();
  const auto log =
      std::find_if(fs::directory_iterator(path_), fs::directory_iterator(),
                   [](const auto& entry) { return entry.path().extension() == ".log"; });
  ASSERT_NE(log, fs::directory_iterator());
  const fs::path file = log->path();
  const std::string sound = read_file(file, 1 << 20);
  const auto open_with = [&](const std::string& bytes) {
    std::ofstream(file, std::ios::binary) << bytes;
    database_ = std::make_unique<Database>(path_);
  };

  // As a process leaves it that is killed in the middle of a write.
  const fs::path copy = folder_.path() / "copy";
  fs::copy(path_, copy);
  open_with(sound.substr(0, sound.size() - 5));
  EXPECT_EQ(database_->loss(), "");
  EXPECT_TRUE(database_->get_job("job-8"));
  EXPECT_FALSE(database_->get_job("job-9"));

  database_.reset();
  fs::remove_all(path_);
  fs::rename(copy, path_);
  std::string damaged = sound;
  damaged[damaged.size() / 2] ^= 1;
  open_with(damaged);
  EXPECT_THAT(database_->loss(), HasSubstr("log was damaged"));
  EXPECT_TRUE(database_->get_job("job-0"));
  EXPECT_FALSE(database_->get_job("job-9"));
  reopen();
  EXPECT_EQ(database_->loss(), "");
}

TEST_F(DatabaseTest, HasNoLogBesideTheData) {
  EXPECT_FALSE(fs::exists(path_ / "LOG"));
  EXPECT_TRUE(fs::exists(path_ / "CURRENT"));
}

TEST_F(DatabaseTest, ReadsMoreProductsThanOneBatch) {
  std::vector<Product> many;
  std::vector<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.push_back(std::to_string(i));
  for (const std::string& id : ids) many.push_back(product(id));
  database_->put_products("shop", 1, many);
  const auto found = database_->get_products("shop", 1, ids);
  for (std::size_t i = 0; i < many.size(); ++i) ASSERT_EQ(found[i], many[i]);
}

TEST_F(DatabaseTest, NeverMixesUpNeighbouringKeys) {
  // Were the parts only strung together, these would share keys.
  database_->put_products("a", 1, products({"x"}));
  database_->put_products("aa", 1, products({"y"}));
  database_->put_products("a", 0x6101, products({"z"}));
  EXPECT_THAT(database_->list_product_generations(),
              ElementsAre(Pair("a", 1), Pair("a", 0x6101), Pair("aa", 1)));
  database_->delete_products("a", 1);
  EXPECT_THAT(database_->list_product_generations(), ElementsAre(Pair("a", 0x6101), Pair("aa", 1)));
  EXPECT_NE(embedding_prefix("f", EmbeddingKind::kImage),
            embedding_prefix("f", EmbeddingKind::kText));
  EXPECT_NE(embedding_prefix("fi", EmbeddingKind::kImage).substr(0, 3),
            embedding_prefix("f", EmbeddingKind::kImage).substr(0, 3));
}

TEST_F(DatabaseTest, DeletesExactlyOneGeneration) {
  for (const std::uint64_t generation : {254u, 255u, 256u}) {
    database_->put_products("shop", generation, products({"a", "\xf4\x8f\xbf\xbf"}));
  }
  database_->delete_products("shop", 255);
  reopen();
  EXPECT_EQ(database_->get_product("shop", 255, "a"), std::nullopt);
  EXPECT_THAT(database_->list_product_generations(),
              ElementsAre(Pair("shop", 254), Pair("shop", 256)));
  EXPECT_TRUE(database_->get_product("shop", 256, "\xf4\x8f\xbf\xbf"));
}

TEST_F(DatabaseTest, StoresAllProductsOfABatchOrNone) {
  std::vector<Product> batch = products({"a", "b"});
  batch[1].caption = "caf\xe9";
  EXPECT_THAT(error_of([&] { database_->put_products("shop", 1, batch); }),
              StartsWith("invalid_argument: product \"b\": caption is not valid UTF-8"));
  EXPECT_EQ(database_->get_product("shop", 1, "a"), std::nullopt);
  batch[1] = product("b");
  batch[1].attributes = {{"name", "caf\xe9"}};
  EXPECT_THAT(error_of([&] { database_->put_products("shop", 1, batch); }), HasSubstr("UTF-8"));
}

TEST_F(DatabaseTest, RefusesCatalogNamesAndGenerationsThatAreNone) {
  for (const std::string& name :
       {std::string(), std::string("a/b"), std::string(".."), std::string("a b"),
        std::string(65, 'a'), std::string("a\0", 2)}) {
    EXPECT_THAT(error_of([&] { database_->get_product(name, 1, "a"); }),
                StartsWith("invalid_argument: catalog name"));
    EXPECT_THAT(error_of([&] {
                  database_->publish_generation(name, {1, {}});
                }),
                StartsWith("invalid_argument: catalog name"));
  }
  EXPECT_THAT(error_of([&] { database_->put_products("shop", 0, {}); }),
              StartsWith("invalid_argument: generation 0"));
  EXPECT_THAT(error_of([&] {
                database_->publish_generation("shop", {0, {}});
              }),
              StartsWith("invalid_argument: generation 0"));
}

TEST_F(DatabaseTest, CachesEmbeddingsByFingerprintKindAndDigest) {
  const std::vector<Sha256Digest> digests = {sha256("a"), sha256("b")};
  const Matrix values = matrix(2, 3, 0.5f);
  database_->put_embeddings("f1", EmbeddingKind::kImage, digests, values);
  reopen();
  const std::vector<Sha256Digest> asked = {sha256("b"), sha256("c"), sha256("a")};
  const auto found = database_->get_embeddings("f1", EmbeddingKind::kImage, asked, 3);
  EXPECT_THAT(found, ElementsAre(std::vector<float>{3.5f, 4.5f, 5.5f}, std::nullopt,
                                 std::vector<float>{0.5f, 1.5f, 2.5f}));
  for (const auto& entry : database_->get_embeddings("f1", EmbeddingKind::kText, asked, 3)) {
    EXPECT_FALSE(entry);
  }
  for (const auto& entry : database_->get_embeddings("f2", EmbeddingKind::kImage, asked, 3)) {
    EXPECT_FALSE(entry);
  }
}

TEST_F(DatabaseTest, ChecksTheDimensionAndFinitenessOfEmbeddings) {
  const std::vector<Sha256Digest> digests = {sha256("a"), sha256("b")};
  Matrix values = matrix(2, 3, 0);
  EXPECT_THAT(error_of([&] {
                database_->put_embeddings("f", EmbeddingKind::kText, {digests.data(), 1}, values);
              }),
              StartsWith("invalid_argument: 2 embeddings"));
  database_->put_embeddings("f", EmbeddingKind::kText, digests, values);
  EXPECT_THAT(
      error_of([&] { database_->get_embeddings("f", EmbeddingKind::kText, digests, 4); }),
      StartsWith("corruption: the stored embedding of " + to_hex(digests[0]) + " has 12 bytes"));
  values.data()[4] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(
      error_of([&] { database_->put_embeddings("g", EmbeddingKind::kText, digests, values); }),
      HasSubstr("not finite"));
  EXPECT_FALSE(database_->get_embeddings("g", EmbeddingKind::kText, digests, 3)[0]);
  EXPECT_THAT(error_of([&] { database_->get_embeddings("", EmbeddingKind::kText, digests, 3); }),
              HasSubstr("fingerprint"));
}

TEST_F(DatabaseTest, RemembersPointersAndJobs) {
  EXPECT_EQ(database_->get_pointer("shop"), std::nullopt);
  database_->publish_generation("shop", {2, {1}});
  database_->publish_generation("shop", {3, {2, 1}});
  database_->publish_generation("bazaar", {1, {}});
  database_->put_job("job-2", {{"state", "running"}});
  database_->put_job("job-1", {{"state", "done"}, {"error", "caf\xe9"}});
  reopen();
  EXPECT_EQ(database_->get_pointer("shop"), (CatalogPointer{3, {2, 1}}));
  EXPECT_THAT(database_->list_pointers(), ElementsAre(Pair("bazaar", CatalogPointer{1, {}}),
                                                      Pair("shop", CatalogPointer{3, {2, 1}})));
  EXPECT_EQ(database_->get_job("job-2"), json({{"state", "running"}}));
  EXPECT_EQ(database_->get_job("job-3"), std::nullopt);
  EXPECT_THAT(database_->list_jobs(),
              ElementsAre(Pair("job-1", testing::_), Pair("job-2", testing::_)));
  database_->delete_job("job-1");
  database_->delete_pointer("bazaar");
  EXPECT_EQ(database_->list_jobs().size(), 1u);
  EXPECT_EQ(database_->get_pointer("bazaar"), std::nullopt);
  EXPECT_THAT(error_of([&] { database_->put_job("a b", json::object()); }), HasSubstr("job id"));
  EXPECT_THAT(error_of([&] { database_->put_job("a", json(3)); }), HasSubstr("must be an object"));
}

TEST_F(DatabaseTest, IsOpenOnce) {
  EXPECT_THAT(error_of([&] { const Database second(path_); }),
              StartsWith("unavailable: cannot open"));
}

TEST_F(DatabaseTest, ServesManyThreads) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const std::string catalog = "shop" + std::to_string(t % 2);
      for (int i = 0; i < 50; ++i) {
        const std::string id = std::to_string(t) + "-" + std::to_string(i);
        const std::vector<Product> one = {product(id)};
        database_->put_products(catalog, 1, one);
        if (database_->get_product(catalog, 1, id) != one[0]) ++wrong;
        const std::vector<Sha256Digest> digest = {sha256(id)};
        database_->put_embeddings("f", EmbeddingKind::kImage, digest, matrix(1, 8, 1));
        if (!database_->get_embeddings("f", EmbeddingKind::kImage, digest, 8)[0]) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(database_->list_product_generations().size(), 2u);
}

/// Flips one bit in the middle of every file with the extension; how many there were.
int damage(const fs::path& folder, const std::string& extension) {
  int damaged = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != extension || entry.file_size() == 0) continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    const auto middle = static_cast<std::streamoff>(entry.file_size() / 2);
    file.seekg(middle);
    const char byte = static_cast<char>(file.get() ^ 0x10);
    file.seekp(middle);
    file.put(byte);
    ++damaged;
  }
  return damaged;
}

TEST_F(DatabaseTest, ReportsDamagedTables) {
  std::vector<Sha256Digest> digests;
  for (int i = 0; i < 2000; ++i) digests.push_back(sha256(std::to_string(i)));
  database_->put_embeddings("f", EmbeddingKind::kImage, digests, matrix(2000, 64, 0));
  reopen();  // recovery moves the log into a table
  database_.reset();
  ASSERT_GT(damage(path_, ".sst"), 0);
  EXPECT_THAT(
      error_of([&] { Database(path_).get_embeddings("f", EmbeddingKind::kImage, digests, 64); }),
      StartsWith("corruption"));
}

TEST_F(DatabaseTest, ReportsMissingTables) {
  database_->put_products("shop", 1, products({"a"}));
  reopen();
  database_.reset();
  int removed = 0;
  for (const auto& entry : fs::directory_iterator(path_)) {
    if (entry.path().extension() == ".sst") removed += fs::remove(entry.path()) ? 1 : 0;
  }
  ASSERT_GT(removed, 0);
  EXPECT_THAT(error_of([&] { Database(path_).get_product("shop", 1, "a"); }),
              StartsWith("corruption"));
}

TEST(DatabaseOptions, AreValidated) {
  const TemporaryDirectory folder;
  EXPECT_THAT(error_of([&] { const Database database(folder.path(), {0}); }),
              HasSubstr("block_cache_mb is 0"));
}

}  // namespace
}  // namespace vitrine::storage
