#include "storage/generation_store.h"

#include <sys/resource.h>

#include <fstream>
#include <thread>

#include "base/checksum.h"
#include "base/file.h"
#include "base/sha256.h"
#include "storage/database.h"
#include "storage/manifest.h"
#include "storage/product_ids.h"
#include "tests/storage/error_code.h"

namespace vitrine::storage {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

const std::vector<std::string> kIds = {"a", "b 2", "ü"};

class GenerationStoreTest : public ::testing::Test {
 protected:
  Manifest write_generation(const std::string& catalog,
                            std::span<const std::string_view> self_verifying = {}) {
    const auto [number, folder] = store_.begin(catalog);
    write_file_atomically(folder / kImageIndexFile, std::string(5000, 'i'));
    write_file_atomically(folder / kCaptionIndexFile, std::string(4000, 'c'));
    write_rows(folder, kIds);
    Manifest manifest;
    manifest.catalog = catalog;
    manifest.vectors = VectorFiles{"/shop/images.npy", "/shop/captions.npy", "/shop/ids.txt"};
    manifest.generation = number;
    manifest.encoder_fingerprint = "0123";
    manifest.dimension = 8;
    manifest.index = {{"kind", "ivf"}, {"nlist", 16}};
    manifest.product_count = kIds.size();
    manifest.image_source = {"local", "/images"};
    manifest.catalog_file = "/data/catalog \"x\".csv";
    manifest.content_hash = "4567";
    manifest.created_at = "2024-01-31T12:00:00Z";
    return store_.finish(manifest, self_verifying);
  }

  const TemporaryDirectory data_;
  GenerationStore store_{data_.path()};
};

void flip_bit(const fs::path& path, std::uint64_t position) {
  std::string bytes = read_file(path, 1 << 20);
  bytes.at(position) = static_cast<char>(bytes.at(position) ^ 1);
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST_F(GenerationStoreTest, OpensWhatItFinished) {
  const Manifest written = write_generation("shop");
  EXPECT_EQ(written.generation, 1u);
  ASSERT_EQ(written.files.size(), 3u);
  EXPECT_EQ(written.files[1].name, "index.faiss");
  EXPECT_EQ(written.files[1].size, 5000u);
  EXPECT_EQ(written.files[1].kind, DigestKind::kPieces);
  EXPECT_EQ(written.files[1].digest, to_hex(digest_of(std::string(5000, 'i'))));
  GenerationStore other(data_.path());
  EXPECT_EQ(other.open("shop", 1), written);
  const ProductIds rows(other.folder("shop", 1), written.product_count);
  ASSERT_EQ(rows.size(), kIds.size());
  for (std::size_t row = 0; row < kIds.size(); ++row) EXPECT_EQ(rows.at(row), kIds[row]);
}

TEST_F(GenerationStoreTest, LeavesAFileThatVerifiesItselfToItsReaderButKnowsItFromOthers) {
  const Manifest written = write_generation("shop", kIndexFiles);
  EXPECT_EQ(written.files[1].kind, DigestKind::kOwn);
  EXPECT_EQ(written.files[1].digest.substr(0, 4), "6969");  // "ii"
  EXPECT_EQ(written.files[2].kind, DigestKind::kPieces);
  const fs::path file = store_.folder("shop", 1) / kImageIndexFile;
  flip_bit(file, 0);
  EXPECT_EQ(store_.open("shop", 1), written);
  for (const std::uint64_t position : {4968U, 4999U}) {
    flip_bit(file, position);
    EXPECT_THAT(error_of([&] { store_.open("shop", 1); }),
                AllOf(StartsWith("corruption"), HasSubstr(file.string())));
    flip_bit(file, position);
  }
  fs::resize_file(file, 5001);
  EXPECT_THAT(error_of([&] { store_.open("shop", 1); }), HasSubstr("5001 bytes"));

  const auto [number, folder] = store_.begin("shop");
  write_file_atomically(folder / kImageIndexFile, "shorter than a digest");
  Manifest manifest = written;
  manifest.generation = number;
  EXPECT_THAT(error_of([&] { store_.finish(manifest, kIndexFiles); }), HasSubstr("too short"));
}

TEST_F(GenerationStoreTest, OpensWhatAnOlderVersionVerifiedBySha256) {
  Manifest manifest = write_generation("shop");
  const fs::path folder = store_.folder("shop", 1);
  for (GenerationFile& file : manifest.files) {
    file.kind = DigestKind::kSha256;
    file.digest = to_hex(sha256_file(folder / file.name));
  }
  nlohmann::json fields = nlohmann::json::parse(print_manifest(manifest));
  fields["format_version"] = 1;
  fields.erase("manifest_sha256");
  fields["manifest_sha256"] = to_hex(sha256(fields.dump()));
  std::ofstream(folder / kManifestFile) << fields.dump();
  EXPECT_EQ(store_.open("shop", 1), manifest);
  flip_bit(folder / kCaptionIndexFile, 7);
  EXPECT_THAT(error_of([&] { store_.open("shop", 1); }), HasSubstr("captions.faiss is damaged"));

  fields["format_version"] = 3;
  fields.erase("manifest_sha256");
  fields["manifest_sha256"] = to_hex(sha256(fields.dump()));
  std::ofstream(folder / kManifestFile) << fields.dump();
  EXPECT_THAT(error_of([&] { store_.open("shop", 1); }),
              AllOf(StartsWith("failed_precondition"), HasSubstr("reindex")));
}

TEST_F(GenerationStoreTest, NumbersGenerationsUpwards) {
  EXPECT_EQ(store_.begin("shop").number, 1u);
  EXPECT_EQ(store_.begin("shop").number, 2u);
  EXPECT_EQ(store_.begin("shop", 9).number, 10u);
  EXPECT_EQ(store_.begin("other").number, 1u);
  fs::create_directories(store_.folder("shop", 11) / "half");
  std::ofstream(data_.path() / "generations/shop/notes.txt") << "not ours";
  EXPECT_EQ(store_.begin("shop").number, 12u);
  EXPECT_THAT(store_.generations("shop"), ElementsAre(1, 2, 10, 11, 12));
  EXPECT_THAT(store_.catalogs(), ElementsAre("other", "shop"));
  EXPECT_THAT(store_.generations("absent"), IsEmpty());
}

TEST_F(GenerationStoreTest, GivesEveryThreadItsOwnGeneration) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10; ++i) store_.begin("shop");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store_.generations("shop").size(), 40u);
}

TEST_F(GenerationStoreTest, RefusesBadNames) {
  EXPECT_THAT(error_of([&] { store_.begin("../shop"); }), StartsWith("invalid_argument"));
  EXPECT_THAT(error_of([&] { store_.open("..", 1); }), StartsWith("invalid_argument"));
  EXPECT_THAT(error_of([&] { store_.open("shop", 7); }), StartsWith("not_found"));
}

TEST_F(GenerationStoreTest, FinishesAGenerationOnceAndOnlyWithFiles) {
  Manifest manifest = write_generation("shop");
  EXPECT_THAT(error_of([&] { store_.finish(manifest); }), StartsWith("failed_precondition"));
  manifest.generation = store_.begin("shop").number;
  EXPECT_THAT(error_of([&] { store_.finish(manifest); }), HasSubstr("has no files"));
  fs::create_symlink("/etc/passwd", store_.folder("shop", 2) / "index.faiss");
  EXPECT_THAT(error_of([&] { store_.finish(manifest); }), HasSubstr("no regular file"));
}

TEST_F(GenerationStoreTest, NamesTheFileInWhichABitFlipped) {
  const Manifest manifest = write_generation("shop");
  const fs::path folder = store_.folder("shop", 1);
  for (const GenerationFile& file : manifest.files) {
    for (const std::uint64_t position : {std::uint64_t{0}, file.size / 2, file.size - 1}) {
      flip_bit(folder / file.name, position);
      EXPECT_THAT(error_of([&] { store_.open("shop", 1); }),
                  AllOf(StartsWith("corruption"), HasSubstr((folder / file.name).string())));
      flip_bit(folder / file.name, position);
    }
  }
  EXPECT_EQ(store_.open("shop", 1), manifest);
}

TEST_F(GenerationStoreTest, NamesTheFileThatIsTruncatedGrownOrMissing) {
  const Manifest manifest = write_generation("shop");
  const fs::path folder = store_.folder("shop", 1);
  for (const GenerationFile& file : manifest.files) {
    const fs::path path = folder / file.name;
    const std::string whole = read_file(path, 1 << 20);
    const auto expect_corruption = [&] {
      EXPECT_THAT(error_of([&] { store_.open("shop", 1); }),
                  AllOf(StartsWith("corruption"), HasSubstr(path.string())));
    };
    fs::resize_file(path, whole.size() - 1);
    expect_corruption();
    std::ofstream(path, std::ios::binary) << whole << "x";
    expect_corruption();
    fs::remove(path);
    expect_corruption();
    std::ofstream(path, std::ios::binary) << whole;
  }
  EXPECT_EQ(store_.open("shop", 1), manifest);
}

TEST_F(GenerationStoreTest, NeverTakesADamagedManifestForAnother) {
  const Manifest manifest = write_generation("shop");
  const fs::path path = store_.folder("shop", 1) / kManifestFile;
  const std::string whole = read_file(path, 1 << 20);
  for (std::size_t position = 0; position < whole.size(); ++position) {
    flip_bit(path, position);
    try {
      // A blank that became another blank changes nothing; whatever opens is the original.
      EXPECT_EQ(store_.open("shop", 1), manifest) << position;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorruption);
      EXPECT_THAT(error.what(), HasSubstr(path.string()));
    }
    std::ofstream(path, std::ios::binary) << whole;
  }
  for (const std::size_t size : {std::size_t{0}, whole.size() / 2, whole.size() - 3}) {
    std::ofstream(path, std::ios::binary) << whole.substr(0, size);
    EXPECT_THAT(error_of([&] { store_.open("shop", 1); }),
                AllOf(StartsWith("corruption"), HasSubstr(path.string())));
  }
}

TEST_F(GenerationStoreTest, DoesNotTakeAFullSystemForADamagedManifest) {
  const std::uint64_t number = write_generation("shop").generation;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const std::string error = error_of([&] { store_.read_manifest("shop", number); });
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_THAT(error, StartsWith("unavailable: "));
  EXPECT_EQ(store_.read_manifest("shop", number).generation, number);
}

TEST_F(GenerationStoreTest, NoticesAMovedFolder) {
  write_generation("shop");
  fs::create_directories(store_.folder("other", 1).parent_path());
  fs::rename(store_.folder("shop", 1), store_.folder("other", 1));
  EXPECT_THAT(error_of([&] { store_.open("other", 1); }),
              HasSubstr("belongs to generation 1 of catalog shop"));
}

TEST(ManifestText, MayNotNameFilesOutsideItsFolder) {
  Manifest manifest;
  for (const char* name : {"../x", "/etc/passwd", "..", "", "manifest.json"}) {
    manifest.files = {{name, 1, DigestKind::kPieces, "00"}};
    EXPECT_THAT(error_of([&] { parse_manifest("m.json", print_manifest(manifest)); }),
                StartsWith("corruption: m.json lists a file name that"));
  }
}

TEST_F(GenerationStoreTest, DoesNotOpenWhatACrashLeftHalfWritten) {
  const auto [number, folder] = store_.begin("shop");
  EXPECT_THAT(error_of([&] { store_.open("shop", 1); }), HasSubstr("never finished"));
  write_rows(folder, kIds);
  EXPECT_THAT(error_of([&] { store_.open("shop", 1); }), HasSubstr("never finished"));
}

TEST_F(GenerationStoreTest, SweepsWhatNoPointerNames) {
  Database database(data_.path() / "meta");
  const Product product{"a", "a.png", "a dress"};
  for (int i = 0; i < 4; ++i) {
    const std::uint64_t number = write_generation("shop").generation;
    database.put_products("shop", number, {&product, 1});
  }
  store_.begin("shop");  // 5: a crash before anything was written
  store_.begin("shop");  // 6: a crash in the middle of a file
  std::ofstream(store_.folder("shop", 6) / "index.faiss") << "half";
  database.put_products("shop", 6, {&product, 1});
  database.put_products("shop", 7, {&product, 1});  // a crash within a sweep: no folder
  store_.begin("building");                         // 1: at work in this process
  write_generation("abandoned");                    // 1: its catalog was never published
  database.publish_generation("shop", {4, {2}});

  EXPECT_EQ(sweep_generations(database, store_, {{"building", {1}}}), 6u);
  EXPECT_THAT(store_.generations("shop"), ElementsAre(2, 4));
  EXPECT_THAT(store_.generations("building"), ElementsAre(1));
  EXPECT_THAT(store_.generations("abandoned"), IsEmpty());
  EXPECT_EQ(database.list_product_generations().size(), 2u);
  EXPECT_TRUE(database.get_product("shop", 4, "a"));
  EXPECT_TRUE(database.get_product("shop", 2, "a"));
  EXPECT_EQ(store_.open("shop", 4).generation, 4u);
  EXPECT_EQ(sweep_generations(database, store_, {{"building", {1}}}), 0u);
}

TEST_F(GenerationStoreTest, LeavesForeignEntriesAlone) {
  write_generation("shop");
  std::ofstream(data_.path() / "generations/shop/README") << "mine";
  std::ofstream(data_.path() / "generations/shop/01") << "mine";
  store_.sweep("shop", {});
  EXPECT_TRUE(fs::exists(data_.path() / "generations/shop/README"));
  EXPECT_TRUE(fs::exists(data_.path() / "generations/shop/01"));
  EXPECT_FALSE(fs::exists(store_.folder("shop", 1)));
}

TEST(Rows, AreRefusedWhenMalformedOrMiscounted) {
  const TemporaryDirectory folder;
  const fs::path path = folder.path() / kRowsFile;
  const auto error = [&](const std::string& text, std::uint64_t count) {
    std::ofstream(path, std::ios::binary) << text;
    return error_of([&] { ProductIds(folder.path(), count); });
  };
  EXPECT_THAT(error("a\nb", 2), AllOf(StartsWith("corruption"), HasSubstr("last line is cut")));
  EXPECT_THAT(error("a\n\nb\n", 3), HasSubstr("row 1"));
  EXPECT_THAT(error("a\n\xff\n", 2), HasSubstr("row 1"));
  EXPECT_THAT(error("a\nb\n", 3), HasSubstr("2 rows; the manifest counts 3"));
  EXPECT_THAT(error("a\nb\n", std::uint64_t{1} << 60), HasSubstr("2 rows"));
  EXPECT_THAT(error("a\nb\na\n", 3), HasSubstr("rows 0 and 2 are both product \"a\""));
  const std::vector<std::string> bad = {"a\nb"};
  EXPECT_THAT(error_of([&] { write_rows(folder.path(), bad); }), StartsWith("invalid_argument"));
}

TEST(Rows, AreFoundByTheirIds) {
  const TemporaryDirectory folder;
  std::vector<std::string> ids;
  for (int i = 0; i < 3000; ++i) ids.push_back("product " + std::to_string(i * i));
  ids.push_back("größer");
  write_rows(folder.path(), ids);
  const ProductIds rows(folder.path(), ids.size());
  for (std::size_t row = 0; row < ids.size(); ++row) {
    EXPECT_EQ(rows.at(row), ids[row]);
    EXPECT_EQ(rows.find(ids[row]), row);
  }
  for (const char* absent : {"", "product 2", "product 1\n", "product 0\nproduct 1"}) {
    EXPECT_EQ(rows.find(absent), std::nullopt);
  }
}

}  // namespace
}  // namespace vitrine::storage
