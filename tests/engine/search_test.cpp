#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <numeric>
#include <thread>

#include "engine/vectors.h"
#include "support.h"

namespace vitrine::engine {
namespace {

using ::testing::HasSubstr;

/// Twelve products in one engine: three of each colour.
class Search : public ::testing::Test {
 protected:
  Search() : engine_(data_.path()) { engine_->index_catalog(catalog_.request()); }

  void expect_colour(const SearchResponse& response, const std::string& colour, std::size_t count) {
    ASSERT_GE(response.hits.size(), count);
    for (std::size_t i = 0; i < count; ++i) {
      EXPECT_EQ(response.hits[i].product.attributes.at("colour"), colour) << i;
    }
  }

  TemporaryDirectory data_;
  TestCatalog catalog_{12};
  TestEngine engine_;
};

TEST_F(Search, FindsImagesByText) {
  const SearchResponse response = engine_->search(text_search("something blue", 5));
  ASSERT_EQ(response.hits.size(), 5U);
  expect_colour(response, "blue", 3);
  for (std::size_t i = 1; i < 5; ++i) {
    EXPECT_GE(response.hits[i - 1].score, response.hits[i].score);
  }
  EXPECT_LE(response.hits[0].score, 1);
  EXPECT_EQ(response.index_kind, "flat");
  EXPECT_TRUE(response.exact);
  EXPECT_EQ(response.generation, 1U);
  EXPECT_GE(response.timings.total_ms, response.timings.search_ms);
}

TEST_F(Search, FindsImagesByImage) {
  SearchRequest request = text_search("");
  request.text.reset();
  request.image_bytes = colour_png("green", 1);  // p1's own image
  const SearchResponse response = engine_->search(request);
  ASSERT_FALSE(response.hits.empty());
  EXPECT_EQ(response.hits[0].product.id, "p1");
  EXPECT_NEAR(response.hits[0].score, 1, 1e-5);
  expect_colour(response, "green", 3);
}

TEST_F(Search, LeavesTheProductItselfOutOfWhatIsLikeIt) {
  SearchRequest request = text_search("", 2);
  request.text.reset();
  request.product_id = "p0";
  EXPECT_THAT(ids_of(engine_->search(request)), ::testing::UnorderedElementsAre("p4", "p8"));
  request.limit = 100;
  const std::vector<std::string> all = ids_of(engine_->search(request));
  EXPECT_EQ(all.size(), 11U);
  EXPECT_THAT(all, ::testing::Not(::testing::Contains("p0")));
  request.product_id = "p99";
  EXPECT_EQ(thrown_by([&] { engine_->search(request); }).code, ErrorCode::kNotFound);
}

TEST_F(Search, LooksAtCaptionsWhenAsked) {
  catalog_.set_caption("p0", "once red, now blue");  // its image stays red
  catalog_.set_caption("p1", "green");
  catalog_.write();
  engine_->index_catalog(catalog_.request());
  SearchRequest request = text_search("green", 3);
  request.target = Target::kCaption;
  EXPECT_THAT(ids_of(engine_->search(request)), ::testing::Contains("p1"));
  request.target = Target::kImage;
  expect_colour(engine_->search(request), "green", 3);
}

TEST_F(Search, RefusesALimitOutOfRange) {
  for (const int limit : {0, -1, kMaxLimit + 1, 1'000'000}) {
    const Thrown thrown = thrown_by([&] { engine_->search(text_search("red", limit)); });
    EXPECT_EQ(thrown.code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(thrown.message, HasSubstr("valid: 1 to 1000"));
  }
  EXPECT_EQ(engine_->search(text_search("red", kMaxLimit)).hits.size(), 12U);
}

TEST_F(Search, NeedsExactlyOneQuery) {
  SearchRequest none;
  none.catalog = "shop";
  SearchRequest two = text_search("red");
  two.product_id = "p0";
  EXPECT_EQ(thrown_by([&] { engine_->search(none); }).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(thrown_by([&] { engine_->search(two); }).code, ErrorCode::kInvalidArgument);
}

TEST_F(Search, RefusesTextThatCannotBeSearchedFor) {
  const std::string long_text(kMaxTextBytes + 1, 'x');
  for (const std::string& text :
       {std::string(), std::string(" \n"), std::string("\xff"), long_text}) {
    EXPECT_EQ(thrown_by([&] { engine_->search(text_search(text)); }).code,
              ErrorCode::kInvalidArgument);
  }
}

TEST_F(Search, RefusesWhatIsNoImage) {
  SearchRequest request = text_search("");
  request.text.reset();
  for (const char* bytes : {"", "a text file", "\x89PNG\r\n\x1a\n"}) {
    request.image_bytes = bytes;
    EXPECT_EQ(thrown_by([&] { engine_->search(request); }).code, ErrorCode::kInvalidArgument);
  }
}

TEST_F(Search, RefusesSearchParametersOutOfRange) {
  SearchRequest request = text_search("red");
  request.nprobe = 0;
  EXPECT_EQ(thrown_by([&] { engine_->search(request); }).code, ErrorCode::kInvalidArgument);
  request.nprobe.reset();
  request.ef_search = -3;
  EXPECT_EQ(thrown_by([&] { engine_->search(request); }).code, ErrorCode::kInvalidArgument);
}

TEST_F(Search, NamesTheUnknownCatalog) {
  SearchRequest request = text_search("red");
  request.catalog = "attic";
  const Thrown thrown = thrown_by([&] { engine_->search(request); });
  EXPECT_EQ(thrown.code, ErrorCode::kNotFound);
  EXPECT_THAT(thrown.message, HasSubstr("attic"));
}

TEST_F(Search, AnswersFromEveryKindOfIndex) {
  for (const std::string& kind : index::index_kinds()) {
    engine_->index_catalog(catalog_.request("shop", kind));
    for (const bool exact : {false, true}) {
      SearchRequest request = text_search("red", 3);
      request.exact = exact;
      const SearchResponse response = engine_->search(request);
      expect_colour(response, "red", 3);
      EXPECT_EQ(response.index_kind, kind);
      EXPECT_EQ(response.exact, exact || kind == "flat");
    }
  }
}

TEST_F(Search, EncodesUnitVectors) {
  const Matrix texts = engine_->encode_texts(std::vector<std::string>{"red", "blue"}).embeddings;
  ASSERT_EQ(texts.rows(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    double squares = 0;
    for (const float value : texts.row(i)) squares += static_cast<double>(value) * value;
    EXPECT_NEAR(squares, 1, 1e-5);
  }
  const Thrown thrown = thrown_by([&] {
    engine_->encode_images(std::vector<std::string>{colour_png("red", 1), "no image"});
  });
  EXPECT_EQ(thrown.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(thrown.message, HasSubstr("image 2"));
}

TEST_F(Search, KnowsItsProducts) {
  const auto catalog = engine_->catalog("shop");
  EXPECT_EQ(catalog->name(), "shop");
  EXPECT_EQ(catalog->size(), 12U);
  EXPECT_EQ(catalog->image_source().type, "local");
  EXPECT_EQ(std::filesystem::path(catalog->image_source().location),
            std::filesystem::canonical(catalog_.images()));
  const auto product = catalog->product("p5");
  ASSERT_TRUE(product);
  EXPECT_EQ(product->caption, "a green shirt");
  EXPECT_EQ(product->attributes.at("price"), 5);
  EXPECT_EQ(catalog->read_image(*product), colour_png("green", 5));
  EXPECT_EQ(catalog->product("nobody"), std::nullopt);
  EXPECT_EQ(catalog->row_of("p5"), 5U);
  EXPECT_EQ(catalog->id(5), "p5");
  EXPECT_TRUE(catalog->row_of(catalog->random_product().id));
  const std::vector<CatalogSummary> summaries = engine_->catalogs();
  ASSERT_EQ(summaries.size(), 1U);
  EXPECT_EQ(summaries[0].products, 12U);
  EXPECT_TRUE(summaries[0].searchable);
  EXPECT_EQ(summaries[0].problem, "");
}

TEST_F(Search, ReadsASampleOfAGenerationOnce) {
  TestCatalog large(1100);
  engine_->index_catalog(large.request());
  const auto catalog = engine_->catalog("shop");
  std::vector<const float*> seen(8);
  {
    std::vector<std::jthread> readers;
    for (const float*& data : seen) {
      readers.emplace_back([&] { data = catalog->sample(Target::kCaption).data; });
    }
  }
  EXPECT_THAT(seen, ::testing::Each(seen[0]));
  const MatrixView sample = catalog->sample(Target::kImage);
  ASSERT_EQ(sample.rows, 512U);
  for (const std::size_t i : {0U, 1U, 300U, 511U}) {
    EXPECT_THAT(sample.row(i),
                ::testing::ElementsAreArray(catalog->vector(Target::kImage, i * 1100 / 512)));
  }
  // An update is another snapshot of the same generation.
  engine_->delete_products("shop", std::vector<std::string>{"p0"});
  EXPECT_EQ(engine_->catalog("shop")->sample(Target::kImage).data, sample.data);
}

TEST_F(Search, AsksTheImageSourceOnlyWhenAnImageIsRead) {
  const auto product = engine_->catalog("shop")->product("p0");
  engine_.engine.reset();
  std::filesystem::remove_all(catalog_.images());
  const TestEngine reopened(data_.path());
  EXPECT_EQ(reopened->search(text_search("red")).hits.size(), 10U);
  EXPECT_EQ(thrown_by([&] { reopened->catalog("shop")->read_image(*product); }).code,
            ErrorCode::kUnavailable);
}

class Classify : public Search {};

TEST_F(Classify, GivesProbabilitiesThatSumToOne) {
  ClassifyRequest request;
  request.image_bytes = colour_png("blue", 77);
  request.labels = {"red", "green", "blue", "nothing"};
  const Classification result = engine_->classify(request);
  ASSERT_EQ(result.labels.size(), 4U);
  EXPECT_EQ(result.labels[0].label, "blue");
  double sum = 0;
  for (const LabelScore& label : result.labels) sum += label.probability;
  EXPECT_NEAR(sum, 1, 1e-5);
  // Probabilities follow from the similarities by the logit scale.
  EXPECT_NEAR(std::log(result.labels[0].probability / result.labels[1].probability),
              20 * (result.labels[0].similarity - result.labels[1].similarity), 1e-3);
}

TEST_F(Classify, TakesAProductOfACatalog) {
  const ClassifyRequest request = {
      .image_bytes = std::nullopt, .catalog = "shop", .product_id = "p1", .labels = colours()};
  const int images = engine_.calls->images;
  EXPECT_EQ(engine_->classify(request).labels[0].label, "green");
  EXPECT_EQ(engine_.calls->images, images);
}

TEST_F(Classify, RefusesRequestsThatAreNotClear) {
  ClassifyRequest request;
  request.labels = {"red"};
  EXPECT_EQ(thrown_by([&] { engine_->classify(request); }).code, ErrorCode::kInvalidArgument);
  request.catalog = "shop";
  EXPECT_EQ(thrown_by([&] { engine_->classify(request); }).code, ErrorCode::kInvalidArgument);
  request.product_id = "p1";
  request.image_bytes = colour_png("red", 1);
  EXPECT_EQ(thrown_by([&] { engine_->classify(request); }).code, ErrorCode::kInvalidArgument);
  request.image_bytes.reset();
  request.prompt_template = "no gap";
  EXPECT_EQ(thrown_by([&] { engine_->classify(request); }).code, ErrorCode::kInvalidArgument);
  request.prompt_template = "{}";
  request.labels.clear();
  EXPECT_EQ(thrown_by([&] { engine_->classify(request); }).code, ErrorCode::kInvalidArgument);
}

Classification classify_red_image(const Engine& engine, std::vector<std::string> labels) {
  ClassifyRequest request;
  request.image_bytes = colour_png("red", 1);
  request.labels = std::move(labels);
  return engine.classify(request);
}

TEST(EngineWithoutData, EncodesAndClassifiesOnly) {
  const Engine engine(options_in(""), std::make_unique<ColourEncoder>());
  EXPECT_EQ(classify_red_image(engine, colours()).labels[0].label, "red");
  EXPECT_TRUE(engine.catalogs().empty());
  EXPECT_TRUE(engine.jobs().empty());
  EXPECT_EQ(thrown_by([&] { engine.search(text_search("red")); }).code,
            ErrorCode::kFailedPrecondition);
}

/// Judges each text by itself, as SigLIP does.
class JudgingEncoder : public ColourEncoder {
 public:
  std::optional<float> logit_bias() const override { return -10.0F; }
};

TEST(EngineWithoutData, JudgesEachLabelByItselfWhereTheEncoderHasALogitBias) {
  const Engine engine(options_in(""), std::make_unique<JudgingEncoder>());
  const Classification result = classify_red_image(engine, {"blue", "red", "a red one"});
  EXPECT_NE(result.labels[0].label, "blue");
  for (const LabelScore& label : result.labels) {
    EXPECT_NEAR(label.probability, 1 / (1 + std::exp(10 - 20 * double{label.similarity})), 1e-6);
  }
}

TEST_F(Search, TellsHowMuchOfATextWasRead) {
  const std::string long_text(ColourEncoder::kContextLength + 1, 'x');
  const SearchResponse cut = engine_->search(text_search(long_text));
  ASSERT_EQ(cut.texts.size(), 1U);
  EXPECT_EQ(cut.texts[0].tokens, ColourEncoder::kContextLength);
  EXPECT_TRUE(cut.texts[0].truncated);
  const SearchResponse whole = engine_->search(text_search("red"));
  EXPECT_EQ(whole.texts[0].tokens, 3U);
  EXPECT_FALSE(whole.texts[0].truncated);
  SearchRequest by_product = text_search("");
  by_product.text.reset();
  by_product.product_id = "p1";
  EXPECT_TRUE(engine_->search(by_product).texts.empty());
}

/// The same with a cache for queries.
class CachedSearch : public ::testing::Test {
 protected:
  CachedSearch()
      : engine_(data_.path(), 'a', {}, 2, [](EngineOptions& o) { o.query_cache_mb = 1; }) {
    engine_->index_catalog(catalog_.request());
    engine_.calls->images = engine_.calls->texts = 0;
  }

  TemporaryDirectory data_;
  TestCatalog catalog_{12};
  TestEngine engine_;
};

TEST_F(CachedSearch, EncodesAQueryOnce) {
  const SearchResponse first = engine_->search(text_search("a red shirt"));
  const SearchResponse again = engine_->search(text_search("a red shirt"));
  EXPECT_EQ(engine_.calls->texts, 1);
  EXPECT_EQ(ids_of(first), ids_of(again));
  EXPECT_EQ(again.hits[0].score, first.hits[0].score);
  EXPECT_EQ(again.texts[0].tokens, first.texts[0].tokens);

  SearchRequest by_image = text_search("");
  by_image.text.reset();
  by_image.image_bytes = colour_png("green", 5);
  const std::vector<std::string> like_image = ids_of(engine_->search(by_image));
  EXPECT_EQ(ids_of(engine_->search(by_image)), like_image);
  EXPECT_EQ(engine_.calls->images, 1);
  const QueryCacheStats stats = engine_->encoder_use().cache;
  EXPECT_EQ(stats.hits, 2U);
  EXPECT_EQ(stats.misses, 2U);
  EXPECT_EQ(stats.entries, 2U);  // indexing leaves it alone
}

TEST_F(CachedSearch, EncodesOnlyWhatOfAListIsNew) {
  const std::vector<std::string> few = {"red", "blue"};
  const std::vector<std::string> more = {"green", "blue", "grey", "red"};
  const Matrix first = engine_->encode_texts(few).embeddings;
  const EncodedTexts second = engine_->encode_texts(more);
  EXPECT_EQ(engine_.calls->texts, 4);
  for (std::size_t i = 0; i < first.cols(); ++i) {
    EXPECT_EQ(second.embeddings.row(3)[i], first.row(0)[i]);
    EXPECT_EQ(second.embeddings.row(1)[i], first.row(1)[i]);
  }
  EXPECT_EQ(second.lengths[0].tokens, 5U);
  EXPECT_EQ(second.lengths[3].tokens, 3U);
}

TEST_F(CachedSearch, KeepsEmbeddingsAsTheEncoderGaveThem) {
  const std::vector<std::string> texts = {"red"};
  const Matrix unit = engine_->encode_texts(texts).embeddings;
  const Matrix raw = engine_->encode_texts(texts, false).embeddings;
  EXPECT_EQ(engine_.calls->texts, 1);
  EXPECT_NEAR(dot(unit.row(0), unit.row(0)), 1, 1e-5);
  EXPECT_NEAR(raw.row(0)[0], 220 / 255.0, 1e-6);
}

TEST_F(CachedSearch, NamesTheBrokenImageOfAListThatIsPartlyKnown) {
  const std::vector<std::string> known = {colour_png("red", 1)};
  engine_->encode_images(known);
  const std::vector<std::string> images = {known[0], colour_png("red", 2), "no image"};
  EXPECT_THAT(thrown_by([&] { engine_->encode_images(images); }).message, HasSubstr("image 3: "));
}

}  // namespace
}  // namespace vitrine::engine
