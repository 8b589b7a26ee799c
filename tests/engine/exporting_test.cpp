#include "engine/exporting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/npy.h"
#include "support.h"

namespace vitrine::engine {
namespace {

using ::testing::HasSubstr;

class Exporting : public ::testing::Test {
 protected:
  Exporting() : catalog_(10), engine_(data_.path()) {}

  std::filesystem::path out() const { return folder_.path() / "new" / "out"; }

  ExportReport export_shop(std::optional<Target> target = std::nullopt) const {
    return engine_->export_catalog({"shop", out(), target});
  }

  /// Indexes what was exported.
  IndexReport import(const std::string& name) const {
    IndexRequest request;
    request.name = name;
    request.catalog_file = out() / kExportedCatalogFile;
    request.vectors = storage::VectorFiles{out() / kExportedImagesFile,
                                           out() / kExportedCaptionsFile, out() / kExportedIdsFile};
    return engine_->index_catalog(request);
  }

  /// Products, vectors and their order.
  void expect_equal(const std::string& name) const {
    const auto shop = engine_->catalog("shop");
    const auto copy = engine_->catalog(name);
    const std::vector<std::size_t> rows = shop->live_rows();
    ASSERT_EQ(copy->base_rows(), rows.size());
    for (std::size_t row = 0; row < rows.size(); ++row) {
      EXPECT_EQ(copy->id(row), shop->id(rows[row]));
      EXPECT_EQ(copy->product(copy->id(row)), shop->product(copy->id(row)));
      for (const Target target : {Target::kImage, Target::kCaption}) {
        EXPECT_EQ(copy->vector(target, row), shop->vector(target, rows[row]));
      }
    }
  }

  void upsert(const ProductUpdate& update) const { engine_->upsert_products("shop", {&update, 1}); }

  TemporaryDirectory data_;
  TemporaryDirectory folder_;
  TestCatalog catalog_;
  TestEngine engine_;
};

TEST_F(Exporting, AndIndexingMakesTheSameCatalogWithItsUpdates) {
  for (const char* kind : {"flat", "ivf", "hnsw"}) {
    engine_->index_catalog(catalog_.request("shop", kind));
    ProductUpdate added;
    added.id = "new \"one\", ü";
    added.caption = "a line\nbreak, and \\";
    added.image_embedding = std::vector<float>(ColourEncoder::kDimension, 3.7F);
    added.attributes =
        nlohmann::json::parse(R"({"price": 0.1, "tags": ["a", null], "maker": {"name": "ü"}})");
    upsert(added);
    ProductUpdate changed;
    changed.id = "p3";
    changed.attributes = nlohmann::json{{"v", 18446744073709551615U}};
    changed.image_bytes = colour_png("blue", 77);
    upsert(changed);
    engine_->delete_products("shop", std::vector<std::string>{"p5", "p0"});

    const ExportReport report = export_shop();
    EXPECT_EQ(report.products, 9U);
    EXPECT_EQ(report.dimension, static_cast<std::size_t>(ColourEncoder::kDimension));
    const IndexReport imported = import("copy");
    EXPECT_EQ(imported.indexed, 9U);
    EXPECT_EQ(imported.failed, 0U);
    expect_equal("copy");
    std::filesystem::remove_all(out());
  }
}

TEST_F(Exporting, WritesRowsAndIdsInOneOrder) {
  engine_->index_catalog(catalog_.request());
  engine_->delete_products("shop", std::vector<std::string>{"p4"});
  export_shop();
  std::ifstream ids(out() / kExportedIdsFile);
  const NpyReader images(out() / kExportedImagesFile);
  ASSERT_EQ(images.rows(), 9U);
  const auto shop = engine_->catalog("shop");
  std::size_t rows = 0;
  for (std::string id; std::getline(ids, id); ++rows) {
    std::vector<float> vector(images.cols());
    images.read_row(rows, vector);
    EXPECT_EQ(vector, shop->vector(Target::kImage, shop->require_row(id))) << id;
  }
  EXPECT_EQ(rows, 9U);
}

TEST_F(Exporting, LeavesOutTheVectorsThatAreNotWanted) {
  engine_->index_catalog(catalog_.request());
  export_shop(Target::kCaption);
  EXPECT_FALSE(std::filesystem::exists(out() / kExportedImagesFile));
  EXPECT_EQ(NpyReader(out() / kExportedCaptionsFile).rows(), 10U);
  std::filesystem::remove_all(out());
  export_shop(Target::kImage);
  EXPECT_FALSE(std::filesystem::exists(out() / kExportedCaptionsFile));
  EXPECT_EQ(NpyReader(out() / kExportedImagesFile).rows(), 10U);
}

TEST_F(Exporting, NeverOverwrites) {
  engine_->index_catalog(catalog_.request());
  export_shop();
  const Thrown thrown = thrown_by([&] { export_shop(); });
  EXPECT_EQ(thrown.code, ErrorCode::kAlreadyExists);
  EXPECT_THAT(thrown.message, HasSubstr(out().string()));
  const auto code_of = [&](const std::string& name, const std::filesystem::path& folder) {
    return thrown_by([&] { engine_->export_catalog({name, folder, std::nullopt}); }).code;
  };
  EXPECT_EQ(code_of("none", folder_.path() / "other"), ErrorCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "other"));
  EXPECT_EQ(code_of("shop", out() / kExportedIdsFile), ErrorCode::kPermissionDenied);
}

TEST_F(Exporting, OfAnEmptyCatalogWritesEmptyFiles) {
  engine_->index_catalog(catalog_.request());
  std::vector<std::string> ids;
  for (int i = 0; i < 10; ++i) ids.push_back("p" + std::to_string(i));
  engine_->delete_products("shop", ids);
  EXPECT_EQ(export_shop().products, 0U);
  EXPECT_EQ(NpyReader(out() / kExportedImagesFile).rows(), 0U);
  EXPECT_EQ(std::filesystem::file_size(out() / kExportedIdsFile), 0U);
}

TEST_F(Exporting, RefusesAnAttributeThatWouldBecomeAField) {
  engine_->index_catalog(catalog_.request());
  ProductUpdate update;
  update.id = "p1";
  update.attributes = nlohmann::json{{"image", "front"}};
  upsert(update);
  const Thrown thrown = thrown_by([&] { export_shop(); });
  EXPECT_EQ(thrown.code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(thrown.message, HasSubstr("product \"p1\" has an attribute named \"image\""));
  EXPECT_FALSE(std::filesystem::exists(out() / kExportedCatalogFile));
}

TEST_F(Exporting, StopsWhenCancelled) {
  engine_->index_catalog(catalog_.request());
  const std::atomic<bool> cancel{true};
  const Thrown thrown = thrown_by([&] {
    engine_->export_catalog({"shop", out(), std::nullopt}, {}, &cancel);
  });
  EXPECT_EQ(thrown.code, ErrorCode::kCancelled);
  EXPECT_TRUE(std::filesystem::is_empty(out()));
}

}  // namespace
}  // namespace vitrine::engine
