#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <random>
#include <thread>

#include "base/npy.h"
#include "live_support.h"

namespace vitrine::engine {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t kDimension = ColourEncoder::kDimension;

/// A catalog whose vectors are in files, and the same one as the encoder makes it ("encoded").
class ImportedVectors : public ::testing::Test {
 protected:
  ImportedVectors() : catalog_(8), engine_(data_.path()) {
    engine_->index_catalog(catalog_.request("encoded"));
    images_ = vectors(Target::kImage);
    captions_ = vectors(Target::kCaption);
    engine_.calls->images = 0;
    engine_.calls->texts = 0;
    write_npy(file("images.npy"), images_);
    write_npy(file("captions.npy"), captions_);
  }

  std::string file(const std::string& name) const { return files_.path() / name; }

  Matrix vectors(Target target) const {
    const auto encoded = engine_->catalog("encoded");
    Matrix matrix(encoded->size(), kDimension);
    for (std::size_t row = 0; row < encoded->size(); ++row) {
      std::ranges::copy(encoded->vector(target, row), matrix.row(row).begin());
    }
    return matrix;
  }

  IndexRequest request(const std::string& kind = "flat") const {
    IndexRequest request = catalog_.request("shop", kind);
    request.vectors = storage::VectorFiles{file("images.npy"), file("captions.npy"), ""};
    return request;
  }

  void write_lines(const std::string& name, const std::vector<std::string>& lines) const {
    std::ofstream out(file(name), std::ios::binary);
    for (const std::string& line : lines) out << line << '\n';
  }

  /// The message of the InvalidArgument that the request meets before anything is built.
  std::string refusal(const IndexRequest& request) const {
    const Thrown thrown = thrown_by([&] { engine_->index_catalog(request); });
    EXPECT_EQ(thrown.code, ErrorCode::kInvalidArgument) << thrown.message;
    return thrown.message;
  }

  void expect_equal_catalogs() const {
    const auto encoded = engine_->catalog("encoded");
    const auto shop = engine_->catalog("shop");
    ASSERT_EQ(shop->size(), encoded->size());
    for (std::size_t row = 0; row < shop->size(); ++row) {
      EXPECT_EQ(shop->id(row), encoded->id(row));
      EXPECT_EQ(shop->product(shop->id(row)), encoded->product(shop->id(row)));
      for (const Target target : {Target::kImage, Target::kCaption}) {
        EXPECT_EQ(shop->vector(target, row), encoded->vector(target, row));
      }
    }
  }

  TemporaryDirectory data_;
  TemporaryDirectory files_;
  TestCatalog catalog_;
  TestEngine engine_;
  Matrix images_;
  Matrix captions_;
};

TEST_F(ImportedVectors, MakeTheCatalogThatTheEncoderMakes) {
  std::filesystem::remove_all(catalog_.images());
  std::filesystem::create_directory(catalog_.images());
  for (const char* kind : {"flat", "ivf", "hnsw"}) {
    const IndexReport report = engine_->index_catalog(request(kind));
    EXPECT_EQ(report.indexed, 8U);
    EXPECT_EQ(report.imported, 8U);
    EXPECT_EQ(report.captions_imported, 8U);
    EXPECT_EQ(report.encoded + report.cached + report.captions_encoded + report.captions_cached,
              0U);
    expect_equal_catalogs();
  }
  EXPECT_EQ(engine_.calls->images + engine_.calls->texts, 0);
  EXPECT_EQ(engine_->catalog("shop")->product("p3")->image, "p3.png");
}

TEST_F(ImportedVectors, LeaveCaptionsToTheEncoderWithoutAFileOfThem) {
  IndexRequest images_only = request();
  images_only.vectors->captions.clear();
  catalog_.set_caption("p1", "a green coat");
  catalog_.write();
  const IndexReport report = engine_->index_catalog(images_only);
  EXPECT_EQ(report.imported, 8U);
  EXPECT_EQ(report.captions_imported, 0U);
  EXPECT_EQ(report.captions_encoded, 1U);
  EXPECT_EQ(report.captions_cached, 7U);
  SearchRequest search = text_search("green");
  search.catalog = "shop";
  search.target = Target::kCaption;
  EXPECT_THAT(ids_of(engine_->search(search)), ::testing::Contains("p1"));
  EXPECT_EQ(engine_->catalog("shop")->vector(Target::kImage, 5),
            engine_->catalog("encoded")->vector(Target::kImage, 5));
}

TEST_F(ImportedVectors, AreScaledToUnitLength) {
  for (std::size_t row = 0; row < images_.rows(); ++row) {
    const float scale = std::ldexp(1.0F, static_cast<int>(row) - 4);  // exact
    for (float& value : images_.row(row)) value *= scale;
  }
  write_npy(file("images.npy"), images_);
  engine_->index_catalog(request());
  const auto shop = engine_->catalog("shop");
  const auto encoded = engine_->catalog("encoded");
  for (std::size_t row = 0; row < shop->size(); ++row) {
    EXPECT_THAT(
        shop->vector(Target::kImage, row),
        ::testing::Pointwise(::testing::FloatNear(1e-6F), encoded->vector(Target::kImage, row)));
  }
}

TEST_F(ImportedVectors, BelongToTheIdsOfAListInItsOrder) {
  Matrix reversed(10, kDimension);
  Matrix reversed_captions(10, kDimension);
  std::vector<std::string> ids = {"not in the catalogue"};
  reversed.row(0)[0] = std::numeric_limits<float>::quiet_NaN();  // nobody's
  for (std::size_t row = 8; row-- > 0;) {
    std::ranges::copy(images_.row(row), reversed.row(ids.size()).begin());
    std::ranges::copy(captions_.row(row), reversed_captions.row(ids.size()).begin());
    ids.push_back("p" + std::to_string(row));
  }
  ids.push_back("nor this\r");  // a list of another system
  write_npy(file("images.npy"), reversed);
  write_npy(file("captions.npy"), reversed_captions);
  write_lines("ids.txt", ids);
  IndexRequest listed = request();
  listed.vectors->ids = file("ids.txt");
  engine_->index_catalog(listed);
  expect_equal_catalogs();

  ids[3] = "somebody else";  // was p5
  write_lines("ids.txt", ids);
  const IndexReport report = engine_->index_catalog(listed);
  EXPECT_EQ(report.indexed, 7U);
  ASSERT_EQ(report.failures.size(), 1U);
  EXPECT_EQ(report.failures[0].id, "p5");
  EXPECT_THAT(report.failures[0].reason, HasSubstr("the list of ids has no vectors of it"));
}

TEST_F(ImportedVectors, WithoutADirectionKeepTheirProductOut) {
  images_.row(1)[2] = std::numeric_limits<float>::quiet_NaN();
  images_.row(3)[7] = -std::numeric_limits<float>::infinity();
  std::ranges::fill(captions_.row(6), 0.0F);
  write_npy(file("images.npy"), images_);
  write_npy(file("captions.npy"), captions_);
  const IndexReport report = engine_->index_catalog(request());
  EXPECT_EQ(report.products, 8U);
  EXPECT_EQ(report.indexed, 5U);
  EXPECT_EQ(report.failed, 3U);
  ASSERT_EQ(report.failures.size(), 3U);
  EXPECT_EQ(report.failures[0].id, "p1");
  EXPECT_THAT(report.failures[0].reason, HasSubstr("image vector, row 1 (counted from 0) of"));
  EXPECT_THAT(report.failures[0].reason, HasSubstr("value 2 is not finite"));
  EXPECT_THAT(report.failures[1].reason, HasSubstr("value 7 is not finite"));
  EXPECT_THAT(report.failures[2].reason, HasSubstr("caption vector, row 6"));
  EXPECT_THAT(report.failures[2].reason, HasSubstr("all its values are 0"));
  const auto shop = engine_->catalog("shop");
  const auto encoded = engine_->catalog("encoded");
  for (const char* id : {"p0", "p2", "p4", "p5", "p7"}) {
    EXPECT_EQ(shop->vector(Target::kImage, shop->require_row(id)),
              encoded->vector(Target::kImage, encoded->require_row(id)));
  }

  IndexRequest strict = request();
  strict.strict = true;
  // Whichever of the three a thread comes upon first.
  EXPECT_THAT(refusal(strict), AllOf(HasSubstr("cannot be indexed"), HasSubstr("vector, row")));
  EXPECT_EQ(engine_->catalog("shop")->generation(), 1U);
}

TEST_F(ImportedVectors, OfAnotherShapeAreRefusedAtOnce) {
  engine_->index_catalog(request());
  write_npy(file("short.npy"), {images_.data(), 7, kDimension});
  write_npy(file("narrow.npy"), {images_.data(), 8, kDimension - 1});
  IndexRequest changed = request();
  changed.vectors->images = file("short.npy");
  changed.vectors->captions.clear();
  EXPECT_THAT(refusal(changed), HasSubstr("has 7 rows and"));
  changed.vectors->captions = file("captions.npy");
  EXPECT_THAT(refusal(changed), HasSubstr("each needs one a product"));
  changed.vectors->images = file("narrow.npy");
  EXPECT_THAT(refusal(changed), HasSubstr("vectors of 7 values; the encoder's embeddings have 8"));
  changed = request();
  changed.vectors->captions = file("narrow.npy");
  EXPECT_THAT(refusal(changed), HasSubstr("narrow.npy"));
  changed = request();
  changed.vectors->images = catalog_.file();
  EXPECT_THAT(refusal(changed), HasSubstr("it is no .npy file"));

  changed = request();
  changed.vectors->ids = file("ids.txt");
  write_lines("ids.txt", {"p0", "p1"});
  EXPECT_THAT(refusal(changed), HasSubstr("has 2 ids; 8 are needed"));
  write_lines("ids.txt", {"p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8"});
  EXPECT_THAT(refusal(changed), HasSubstr("more than the 8 ids"));
  write_lines("ids.txt", {"p0", "p1", "p2", "p3", "p4", "p1", "p6", "p7"});
  EXPECT_THAT(refusal(changed), HasSubstr("\"p1\" in line 2 and again in line 6"));
  write_lines("ids.txt", {"p0", "p1", "", "p3", "p4", "p1", "p6", "p7"});
  EXPECT_THAT(refusal(changed), HasSubstr("line 3"));
  write_lines("ids.txt", {"p0", "p1", "p2", "p3", std::string(10'000'000, 'x')});
  EXPECT_THAT(refusal(changed), HasSubstr("line 5: it has more than 512 bytes"));
  EXPECT_EQ(engine_->catalog("shop")->generation(), 1U);
}

TEST_F(ImportedVectors, CountARecordThatIsNoProduct) {
  catalog_.remove("p7");
  catalog_.append({{"id", "mute"}});
  catalog_.append({{"id", "bare"}, {"caption", "a red shirt, never photographed"}});
  catalog_.write();
  EXPECT_THAT(refusal(request()), HasSubstr("has 9 records"));
  Matrix nine(9, kDimension);
  std::copy(images_.data(), images_.data() + 8 * kDimension, nine.data());
  nine.row(7)[0] = 0;
  nine.row(8)[4] = 1;
  write_npy(file("images.npy"), nine);
  IndexRequest images_only = request();
  images_only.vectors->captions.clear();
  const IndexReport report = engine_->index_catalog(images_only);
  EXPECT_EQ(report.indexed, 8U);
  EXPECT_EQ(report.failed, 1U);
  const auto shop = engine_->catalog("shop");
  EXPECT_EQ(shop->product("bare")->image, "");
  EXPECT_EQ(shop->vector(Target::kImage, shop->require_row("bare"))[4], 1.0F);
}

TEST_F(ImportedVectors, AreReadAgainByAReindex) {
  engine_->index_catalog(request());
  const std::string hash = engine_->catalog("shop")->content_hash();
  const auto reindex = [&] {
    const std::string job = engine_->start_reindex("shop");
    while (engine_->job(job).state == JobState::kRunning) std::this_thread::yield();
    return engine_->job(job);
  };
  EXPECT_EQ(reindex().report->imported, 8U);
  EXPECT_EQ(engine_->catalog("shop")->content_hash(), hash);

  std::swap_ranges(images_.row(0).begin(), images_.row(0).end(), images_.row(1).begin());
  write_npy(file("images.npy"), images_);
  EXPECT_EQ(reindex().report->imported, 8U);
  EXPECT_NE(engine_->catalog("shop")->content_hash(), hash);

  // A merge makes a generation from vectors at hand, and passes on where they once came from.
  engine_->delete_products("shop", std::vector<std::string>{"p2"});
  const std::string merge = engine_->start_merge("shop");
  while (engine_->job(merge).state == JobState::kRunning) std::this_thread::yield();
  EXPECT_EQ(engine_->catalog("shop")->size(), 7U);
  EXPECT_EQ(reindex().report->imported, 8U);

  std::filesystem::remove(file("captions.npy"));
  const Thrown thrown = thrown_by([&] { engine_->start_reindex("shop"); });
  EXPECT_EQ(thrown.code, ErrorCode::kNotFound);
  EXPECT_THAT(thrown.message, HasSubstr("captions.npy"));
  EXPECT_EQ(engine_->catalog("shop")->size(), 8U);
}

TEST_F(ImportedVectors, AreKeptByAnUpdateThatBringsNone) {
  engine_->index_catalog(request());
  ProductUpdate update;
  update.id = "p4";
  update.attributes = nlohmann::json{{"colour", "teal"}};
  engine_->upsert_products("shop", std::vector<ProductUpdate>{update});
  const auto shop = engine_->catalog("shop");
  EXPECT_EQ(shop->product("p4")->attributes, *update.attributes);
  EXPECT_EQ(shop->vector(Target::kImage, shop->require_row("p4")),
            engine_->catalog("encoded")->vector(Target::kImage, 4));
  EXPECT_EQ(engine_.calls->images + engine_.calls->texts, 0);
}

TEST_F(ImportedVectors, CanBeCancelledWhileTheyAreBuiltIntoAnIndex) {
  constexpr std::size_t kMany = 3000;
  std::mt19937 random(1);
  Matrix many(kMany, kDimension);
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < kMany; ++i) {
    std::ranges::copy(random_unit_vector(random), many.row(i).begin());
    lines.push_back(R"({"id": "p)" + std::to_string(i) + R"(", "caption": "a dress"})");
  }
  write_lines("many.jsonl", lines);
  write_npy(file("many.npy"), many);
  IndexRequest wanted;
  wanted.name = "shop";
  wanted.catalog_file = file("many.jsonl");
  wanted.vectors = storage::VectorFiles{file("many.npy"), file("many.npy"), ""};
  wanted.index.kind = "hnsw";
  wanted.index.ef_construction = 1000;  // far longer than the meter waits between two calls
  std::atomic<bool> cancel{false};
  const auto progress = [&](const IndexProgress& now) {
    if (now.stage == IndexStage::kBuilding && now.done > 0 && now.done < kMany) cancel = true;
  };
  const Thrown thrown = thrown_by([&] { engine_->index_catalog(wanted, progress, &cancel); });
  EXPECT_EQ(thrown.code, ErrorCode::kCancelled) << thrown.message;
  EXPECT_EQ(thrown_by([&] { engine_->catalog("shop"); }).code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace vitrine::engine
