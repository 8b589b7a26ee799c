#include <rocksdb/db.h>

#include <limits>

#include "base/file.h"
#include "storage/database.h"
#include "storage/database_keys.h"
#include "tests/storage/error_code.h"

namespace vitrine::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

Update upsert(std::uint64_t sequence, const std::string& id, const std::string& image = "a.png") {
  Update update;
  update.sequence = sequence;
  update.time_ms = 1'700'000'000'000 + static_cast<std::int64_t>(sequence);
  update.product = {id, image, "caption of " + id, {{"price", 12.5}, {"tags", {"a", "b"}}}};
  update.encoder_fingerprint = "f";
  update.image_embedding = {0.6F, 0.8F};
  update.caption_embedding = {-1.0F, 0.0F};
  return update;
}

Update deletion(std::uint64_t sequence, const std::string& id) {
  Update update;
  update.sequence = sequence;
  update.time_ms = 5;
  update.deleted = true;
  update.product.id = id;
  return update;
}

class UpdatesTest : public ::testing::Test {
 protected:
  void reopen() {
    database_.reset();
    database_ = std::make_unique<Database>(path_);
  }
  std::vector<Update> updates(const std::string& catalog, std::uint64_t after = 0) const {
    std::vector<Update> found;
    database_->read_updates(catalog, after, [&](Update&& update) { found.push_back(update); });
    return found;
  }

  const TemporaryDirectory folder_;
  const std::filesystem::path path_ = folder_.path() / "meta";
  std::unique_ptr<Database> database_ = std::make_unique<Database>(path_);
};

TEST_F(UpdatesTest, ComeBackInTheOrderOfTheirNumbers) {
  const std::vector<Update> first = {upsert(1, "a"), deletion(2, "b")};
  // Decimal order would take 1000 for smaller than 2.
  const std::vector<Update> second = {upsert(1000, "c"), upsert(3, "a")};
  database_->put_updates("shop", second);
  database_->put_updates("shop", first);
  database_->put_updates("shop2", std::vector<Update>{upsert(7, "z")});
  reopen();
  EXPECT_THAT(updates("shop"), ElementsAre(first[0], first[1], second[1], second[0]));
  EXPECT_THAT(updates("shop", 2), ElementsAre(second[1], second[0]));
  EXPECT_THAT(updates("shop", 1000), IsEmpty());
  EXPECT_THAT(updates("shop", UINT64_MAX), IsEmpty());
  EXPECT_EQ(database_->last_update("shop"), 1000U);
  EXPECT_EQ(database_->last_update("shop2"), 7U);
  EXPECT_EQ(database_->last_update("shop1"), 0U);
}

TEST_F(UpdatesTest, AreForgottenUpToANumber) {
  database_->put_updates("shop",
                         std::vector<Update>{upsert(1, "a"), upsert(2, "b"), upsert(300, "c")});
  database_->put_updates("shop0", std::vector<Update>{upsert(1, "a")});
  database_->delete_updates("shop", 2);
  EXPECT_THAT(updates("shop"), ElementsAre(upsert(300, "c")));
  EXPECT_EQ(updates("shop0").size(), 1U);
  database_->delete_updates("shop", 300);
  EXPECT_THAT(updates("shop"), IsEmpty());
}

TEST_F(UpdatesTest, AreWrittenTogetherOrNotAtAll) {
  Update broken = upsert(2, "b");
  broken.caption_embedding[1] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<Upload> uploads = {{sha256("bytes"), "bytes"}};
  EXPECT_THAT(
      error_of([&] {
        database_->put_updates("shop", std::vector<Update>{upsert(1, "a"), broken}, uploads);
      }),
      HasSubstr("all finite"));
  broken.caption_embedding = {1.0F};
  EXPECT_THAT(error_of([&] { database_->put_updates("shop", std::vector<Update>{broken}); }),
              HasSubstr("2 and 1 columns"));
  broken = deletion(2, std::string(10 << 20, 'x'));
  EXPECT_THAT(error_of([&] { database_->put_updates("shop", std::vector<Update>{broken}); }),
              HasSubstr("at most 512"));
  broken = upsert(0, "b");
  EXPECT_THAT(error_of([&] { database_->put_updates("shop", std::vector<Update>{broken}); }),
              StartsWith("invalid_argument"));
  EXPECT_THAT(updates("shop"), IsEmpty());
  EXPECT_THAT(database_->list_uploads("shop"), IsEmpty());
}

TEST_F(UpdatesTest, KeepTheImagesThatCameWithThem) {
  const Sha256Digest named = sha256("named by an update");
  const Sha256Digest indexed = sha256("named by a product of a generation");
  const Sha256Digest unnamed = sha256("named by nothing");
  const std::string large(100'000, 'x');
  database_->put_updates("shop", std::vector<Update>{upsert(1, "a", upload_name(named))},
                         std::vector<Upload>{{named, large}, {indexed, "i"}, {unnamed, "u"}});
  database_->put_products(
      "shop", 3, std::vector<Product>{{"b", upload_name(indexed), "b"}, {"c", "", "no image"}});
  database_->put_products("other", 3, std::vector<Product>{{"b", upload_name(unnamed), "b"}});
  reopen();
  EXPECT_EQ(database_->get_upload("shop", named), large);
  EXPECT_EQ(database_->get_upload("other", named), std::nullopt);
  EXPECT_THAT(database_->list_uploads("shop"),
              ::testing::UnorderedElementsAre(named, indexed, unnamed));
  EXPECT_THAT(database_->list_named_uploads("shop"),
              ::testing::UnorderedElementsAre(named, indexed));
  database_->delete_uploads("shop", {&unnamed, 1});
  EXPECT_THAT(database_->list_uploads("shop"), ::testing::UnorderedElementsAre(named, indexed));
}

TEST_F(UpdatesTest, GoWithTheirCatalog) {
  database_->publish_generation("shop", {1, {}});
  database_->put_updates("shop", std::vector<Update>{upsert(1, "a")},
                         std::vector<Upload>{{sha256("x"), "x"}});
  database_->put_updates("shop2", std::vector<Update>{upsert(1, "a")});
  database_->delete_pointer("shop");
  EXPECT_THAT(updates("shop"), IsEmpty());
  EXPECT_THAT(database_->list_uploads("shop"), IsEmpty());
  EXPECT_EQ(updates("shop2").size(), 1U);
}

TEST(UploadName, IsReadBackAndNothingElseIs) {
  const Sha256Digest digest = sha256("x");
  EXPECT_EQ(parse_upload_name(upload_name(digest)), digest);
  const std::string hex = to_hex(digest);
  for (const std::string& name :
       {hex, "upload:" + hex.substr(1), "upload:" + hex + "0", "upload:g" + hex.substr(1),
        std::string("upload:"), std::string()}) {
    EXPECT_EQ(parse_upload_name(name), std::nullopt) << name;
  }
}

TEST(Update, ReportsDamagedBytes) {
  const std::string value = encode_update(upsert(4, "a"));
  EXPECT_EQ(decode_update("shop", 4, value), upsert(4, "a"));
  for (std::size_t size = 0; size < value.size(); ++size) {
    const std::string cut = value.substr(0, size);
    EXPECT_THAT(error_of([&] { decode_update("shop", 4, cut); }), StartsWith("corruption")) << size;
  }
}

/// Takes away what an older program did not write.
void remove_new_families(const std::filesystem::path& path) {
  std::vector<std::string> names;
  ASSERT_TRUE(rocksdb::DB::ListColumnFamilies({}, path.string(), &names).ok());
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (const std::string& name : names) families.emplace_back(name, rocksdb::ColumnFamilyOptions());
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* opened = nullptr;
  ASSERT_TRUE(rocksdb::DB::Open({}, path.string(), families, &handles, &opened).ok());
  const std::unique_ptr<rocksdb::DB> db(opened);
  int dropped = 0;
  for (rocksdb::ColumnFamilyHandle* handle : handles) {
    if (handle->GetName() == "updates" || handle->GetName() == "uploads") {
      EXPECT_TRUE(db->DropColumnFamily(handle).ok());
      ++dropped;
    }
    EXPECT_TRUE(db->DestroyColumnFamilyHandle(handle).ok());
  }
  EXPECT_EQ(dropped, 2);
}

TEST_F(UpdatesTest, CanBePutIntoADatabaseFromBeforeThereWereAny) {
  const Product product{"a", "a.png", "a"};
  database_->put_products("shop", 1, {&product, 1});
  database_.reset();
  remove_new_families(path_);
  reopen();
  EXPECT_EQ(database_->get_product("shop", 1, "a"), product);
  EXPECT_THAT(updates("shop"), IsEmpty());
  database_->put_updates("shop", std::vector<Update>{upsert(1, "a")});
  reopen();
  EXPECT_EQ(updates("shop").size(), 1U);
}

}  // namespace
}  // namespace vitrine::storage
