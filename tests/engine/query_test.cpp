#include "engine/query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "engine/vectors.h"
#include "support.h"

namespace vitrine::engine {
namespace {

using ::testing::HasSubstr;

Matrix unit_rows(std::size_t rows, std::size_t cols, int seed) {
  std::mt19937 random(static_cast<unsigned>(seed));
  std::normal_distribution<float> normal;
  Matrix matrix(rows, cols);
  for (std::size_t i = 0; i < rows; ++i) {
    for (float& value : matrix.row(i)) value = normal(random);
    normalise_row(matrix.row(i));
  }
  return matrix;
}

TEST(CombineTerms, OrdersByTheWeightedSumOfCosines) {
  const Matrix terms = unit_rows(3, 24, 1);
  const std::vector<float> weights = {1, 0.5F, -2};
  const Matrix rows = unit_rows(200, 24, 2);
  const Matrix query = combine_terms(terms, weights, {});
  EXPECT_NEAR(dot(query.row(0), query.row(0)), 1, 1e-6);
  const auto sum = [&](std::size_t row) {
    double total = 0;
    for (std::size_t i = 0; i < 3; ++i) total += weights[i] * dot(terms.row(i), rows.row(row));
    return total;
  };
  const double ratio = dot(query.row(0), rows.row(0)) / sum(0);
  EXPECT_GT(ratio, 0);
  for (std::size_t row = 1; row < rows.rows(); ++row) {
    EXPECT_NEAR(dot(query.row(0), rows.row(row)), ratio * sum(row), 1e-5);
  }
}

TEST(CombineTerms, WeighsTermsAgainstHowFarTheirCosinesSpread) {
  // Along the first axis the sample spreads ten times as far as along the second.
  Matrix sample = unit_rows(300, 8, 3);
  for (std::size_t i = 0; i < sample.rows(); ++i) {
    sample.row(i)[1] *= 0.1F;
    normalise_row(sample.row(i));
  }
  Matrix terms(2, 8);
  terms.row(0)[0] = 1;
  terms.row(1)[1] = 1;
  const std::vector<float> weights = {1, 1};
  const Matrix plain = combine_terms(terms, weights, {});
  EXPECT_NEAR(plain.row(0)[0], plain.row(0)[1], 1e-6);
  const Matrix calibrated = combine_terms(terms, weights, sample);
  EXPECT_NEAR(calibrated.row(0)[1] / calibrated.row(0)[0], 10, 1.5);
}

TEST(CombineTerms, RefusesTermsThatCancelEachOtherOut) {
  Matrix terms = unit_rows(2, 16, 4);
  std::ranges::copy(terms.row(0), terms.row(1).begin());
  const std::vector<float> weights = {1, -1};
  const Thrown thrown = thrown_by([&] { combine_terms(terms, weights, {}); });
  EXPECT_EQ(thrown.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(thrown.message, HasSubstr("cancel"));
}

class CombinedSearch : public ::testing::Test {
 protected:
  CombinedSearch() { engine_->index_catalog(catalog_.request()); }

  static QueryTerm text(const std::string& value, float weight = 1) {
    QueryTerm term;
    term.text = value;
    term.weight = weight;
    return term;
  }
  static SearchRequest request(std::vector<QueryTerm> terms, int limit = 10) {
    SearchRequest request;
    request.catalog = "shop";
    request.terms = std::move(terms);
    request.limit = limit;
    return request;
  }
  std::string message(const SearchRequest& request) {
    const Thrown thrown = thrown_by([&] { engine_->search(request); });
    EXPECT_EQ(thrown.code, ErrorCode::kInvalidArgument);
    return thrown.message;
  }

  TemporaryDirectory data_;
  TestCatalog catalog_{24};
  TestEngine engine_{data_.path()};
};

TEST_F(CombinedSearch, OfOneTermIsThatSearch) {
  const SearchResponse one = engine_->search(text_search("red"));
  const SearchResponse term = engine_->search(request({text("red", 3)}));
  EXPECT_EQ(ids_of(term), ids_of(one));
  EXPECT_EQ(term.hits[0].score, one.hits[0].score);
}

TEST_F(CombinedSearch, OfAVectorTakesItAsItIs) {
  const std::vector<std::string> red = {"red"};
  const Matrix embedding = engine_->encode_texts(red).embeddings;
  QueryTerm term;
  term.vector.emplace(embedding.row(0).begin(), embedding.row(0).end());
  for (float& value : *term.vector) value *= 7;  // of any length
  EXPECT_EQ(ids_of(engine_->search(request({term}))), ids_of(engine_->search(text_search("red"))));
  term.vector->pop_back();
  EXPECT_THAT(message(request({term})), HasSubstr("has 7 values; the embeddings have 8"));
  term.vector->assign(8, 0);
  EXPECT_THAT(message(request({term})), HasSubstr("only zeros"));
  (*term.vector)[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(message(request({term})), HasSubstr("not finite"));
}

TEST_F(CombinedSearch, PutsWhatANegativeTermDescribesLast) {
  const SearchResponse all = engine_->search(request({text("red", -1)}, 24));
  const std::vector<std::string> ids = ids_of(all);
  const std::vector<std::string> red = ids_of(engine_->search(text_search("red", 3)));
  ASSERT_EQ(ids.size(), 24U);
  for (const std::string& id : red) {
    EXPECT_GE(std::ranges::find(ids, id) - ids.begin(), 20) << id;
  }
}

TEST_F(CombinedSearch, LeavesOutEveryProductThatItNames) {
  QueryTerm first;
  first.product_id = "p1";
  QueryTerm second;
  second.product_id = "p2";
  second.weight = -0.5F;
  const SearchResponse found = engine_->search(request({first, second, text("red")}, 24));
  EXPECT_EQ(found.hits.size(), 22U);
  EXPECT_THAT(ids_of(found), ::testing::Not(::testing::Contains("p1")));
  EXPECT_THAT(ids_of(found), ::testing::Not(::testing::Contains("p2")));
  ASSERT_EQ(found.texts.size(), 1U);
  EXPECT_EQ(found.texts[0].tokens, 3U);
}

TEST_F(CombinedSearch, NamesTheTermThatIsWrong) {
  EXPECT_THAT(message(request({text("red"), text(" ")})), HasSubstr("query[1]: the text is blank"));
  EXPECT_THAT(message(request({text("red", 0)})), HasSubstr("query[0]: weight 0"));
  EXPECT_THAT(message(request({text("red", 1e9F)})), HasSubstr("weight"));
  EXPECT_THAT(message(request({QueryTerm()})), HasSubstr("exactly one"));
  EXPECT_THAT(message(request({text("red"), text("red", -1)})), HasSubstr("cancel"));
  EXPECT_THAT(message(request(std::vector<QueryTerm>(kMaxTerms + 1, text("red")))),
              HasSubstr("17 terms"));
  SearchRequest both = text_search("red");
  both.terms = {text("red")};
  EXPECT_THAT(message(both), HasSubstr("exactly one"));
}

TEST_F(CombinedSearch, PagesAndGroupsAndLeavesOutWeakHits) {
  const std::vector<std::string> all = ids_of(engine_->search(text_search("red", 24)));
  std::vector<std::string> paged;
  SearchRequest request = text_search("red", 5);
  do {
    const SearchResponse page = engine_->search(request);
    for (const std::string& id : ids_of(page)) paged.push_back(id);
    request.cursor = page.next_cursor;
  } while (request.cursor);
  EXPECT_EQ(paged, all);

  request.cursor = engine_->search(request).next_cursor;
  SearchRequest both = text_search("red", 5);
  both.caption_weight = 0.5F;
  both.cursor = engine_->search(both).next_cursor;
  engine_->search(both);
  engine_->index_catalog(catalog_.request());
  EXPECT_THAT(message(both), HasSubstr("first page again")) << "weights are another generation's";
  EXPECT_EQ(engine_->search(request).hits.size(), 5U) << "its scores are what they were";
  request.exact = true;
  EXPECT_THAT(message(request), HasSubstr("another search"));
  request.cursor = "nonsense";
  EXPECT_THAT(message(request), HasSubstr("next_cursor"));

  SearchRequest grouped = text_search("red", 24);
  grouped.group_by = "colour";
  const SearchResponse groups = engine_->search(grouped);
  std::set<std::string> seen;
  for (const Hit& hit : groups.hits) {
    EXPECT_TRUE(seen.insert(hit.product.attributes.at("colour").get<std::string>()).second);
  }
  EXPECT_EQ(seen.size(), colours().size());
  EXPECT_EQ(groups.hits[0].product.id, all[0]);
  grouped.group_by = "color";
  EXPECT_THAT(message(grouped), HasSubstr("group_by: no product"));

  SearchRequest strong = text_search("red", 24);
  strong.min_score = engine_->search(text_search("red", 3)).hits.back().score;
  const SearchResponse above = engine_->search(strong);
  EXPECT_GE(above.hits.size(), 3U);
  EXPECT_LT(above.hits.size(), 24U);
  for (const Hit& hit : above.hits) EXPECT_GE(hit.score, *strong.min_score);
}

TEST_F(CombinedSearch, OfBothTargetsRanksByTheSumOfBoth) {
  // Captions that contradict the images, so that both must have their say.
  for (int i = 0; i < 24; ++i) {
    catalog_.set_caption("p" + std::to_string(i), "a " + colours()[(i * 7) % colours().size()]);
  }
  catalog_.write();
  engine_->index_catalog(catalog_.request());
  const auto catalog = engine_->catalog("shop");
  const std::vector<std::string> red = {"red"};
  const Matrix query = engine_->encode_texts(red).embeddings;
  for (const float caption_weight : {0.0F, 0.3F, 0.5F, 1.0F}) {
    SearchRequest request = text_search("red", 5);
    request.caption_weight = caption_weight;
    const SearchResponse found = engine_->search(request);
    ASSERT_EQ(found.hits.size(), 5U);
    // By brute force, from the deviations over all products.
    Matrix images(24, catalog->dimension());
    Matrix captions(24, catalog->dimension());
    for (std::size_t row = 0; row < 24; ++row) {
      std::ranges::copy(catalog->vector(Target::kImage, row), images.row(row).begin());
      std::ranges::copy(catalog->vector(Target::kCaption, row), captions.row(row).begin());
    }
    const double image = (1 - caption_weight) / cosine_deviation(query.row(0), images);
    const double caption = caption_weight / cosine_deviation(query.row(0), captions);
    std::vector<double> scores;
    for (std::size_t row = 0; row < 24; ++row) {
      scores.push_back((image * dot(query.row(0), images.row(row)) +
                        caption * dot(query.row(0), captions.row(row))) /
                       (image + caption));
    }
    std::ranges::sort(scores, std::greater<>());
    for (std::size_t i = 0; i < 5; ++i) {
      EXPECT_NEAR(found.hits[i].score, scores[i], 1e-5) << caption_weight;
    }
  }
  SearchRequest bad = text_search("red");
  bad.caption_weight = 1.5F;
  EXPECT_THAT(message(bad), HasSubstr("caption_weight"));
}

}  // namespace
}  // namespace vitrine::engine
