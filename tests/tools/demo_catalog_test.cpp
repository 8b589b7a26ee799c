#include "tools/demo_catalog.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/file.h"

namespace vitrine::tools {
namespace {

std::vector<GarmentPhoto> some_photos(int count) {
  std::vector<GarmentPhoto> photos(count);
  for (int i = 0; i < count; ++i) {
    photos[i].grey.fill(0);
    photos[i].garment = i % 10;
    for (int at = 28 * 8 + 8; at < 28 * 20; ++at) photos[i].grey[at] = 180;
  }
  return photos;
}

TEST(DemoCatalog, WritesOneRecordAndOneImageAProduct) {
  const TemporaryDirectory folder;
  write_demo_catalog(some_photos(12), "test", folder.path(), [](std::size_t) {});
  std::istringstream lines(read_file(folder.path() / "catalog.jsonl", 1 << 20));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const auto record = nlohmann::json::parse(line);
    for (const char* key : {"id", "image", "caption", "garment", "colour", "pattern", "price"}) {
      EXPECT_TRUE(record.contains(key)) << key;
    }
    const std::string image =
        read_file(folder.path() / record["image"].get<std::string>(), 1 << 20);
    EXPECT_TRUE(image.starts_with("\x89PNG"));
  }
  EXPECT_EQ(count, 12);
}

TEST(DemoCatalog, IsTheSameEveryTime) {
  const TemporaryDirectory first, second;
  write_demo_catalog(some_photos(5), "test", first.path(), [](std::size_t) {});
  write_demo_catalog(some_photos(5), "test", second.path(), [](std::size_t) {});
  for (const char* name : {"catalog.jsonl", "images/00000.png", "images/00004.png"}) {
    EXPECT_EQ(read_file(first.path() / name, 1 << 20), read_file(second.path() / name, 1 << 20));
  }
}

TEST(DemoCatalog, GivesEachSplitItsOwnProducts) {
  const std::vector<GarmentPhoto> photo = some_photos(1);
  EXPECT_EQ(demo_product(photo[0], "test", 42).id, "test-00042");
  EXPECT_NE(demo_record(demo_product(photo[0], "test", 42)),
            demo_record(demo_product(photo[0], "train", 42)));
}

TEST(FashionMnist, NamesTheMissingFileAndItsPackage) {
  const TemporaryDirectory folder;
  try {
    load_fashion_mnist(folder.path(), "test");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_NE(std::string(error.what()).find("dataset-fashion-mnist"), std::string::npos);
  }
  EXPECT_THROW(load_fashion_mnist(folder.path(), "all"), Error);
}

TEST(FashionMnist, ReadsDebiansPackage) {
  if (!std::filesystem::exists(kFashionMnistFolder)) GTEST_SKIP() << kFashionMnistFolder;
  const std::vector<GarmentPhoto> photos = load_fashion_mnist(kFashionMnistFolder, "test");
  ASSERT_EQ(photos.size(), 10000u);
  EXPECT_EQ(photos[0].garment, 9);
}

}  // namespace
}  // namespace vitrine::tools
