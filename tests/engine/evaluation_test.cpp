#include "engine/evaluation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support.h"

namespace vitrine::engine {
namespace {

using ::testing::HasSubstr;

TEST(Evaluation, ScoresAsScikitLearnDoes) {
  const std::vector<std::size_t> expected = {0, 0, 0, 1, 1, 2};
  const std::vector<std::size_t> predicted = {0, 0, 1, 1, 2, 0};
  EXPECT_DOUBLE_EQ(accuracy(expected, predicted), 0.5);
  // f1_score(expected, predicted, average="weighted"): labels have F1 2/3, 1/2, 0.
  EXPECT_DOUBLE_EQ(weighted_f1(expected, predicted, 3), (3 * 2.0 / 3 + 2 * 0.5) / 6);
  EXPECT_DOUBLE_EQ(weighted_f1(expected, expected, 4), 1);
}

TEST(Evaluation, MeasuresTheEncoderOnACatalog) {
  const TemporaryDirectory data;
  TestCatalog catalog(40);
  catalog.put("odd", "red", 900);
  catalog.set_caption("odd", "x");
  catalog.write();
  const TestEngine engine(data.path());
  engine->index_catalog(catalog.request());
  EvaluationRequest request;
  request.catalog = "shop";
  request.attributes = {{"colour", "a {} shirt"}};
  request.query_template = "a {colour} shirt";
  const EvaluationReport report = evaluate(*engine.engine, request);
  ASSERT_EQ(report.attributes.size(), 1U);
  EXPECT_EQ(report.attributes[0].labels, 4U);
  EXPECT_EQ(report.attributes[0].products, 41U);
  EXPECT_EQ(report.attributes[0].accuracy, 1);
  EXPECT_EQ(report.attributes[0].weighted_f1, 1);
  EXPECT_EQ(report.queries, 4U);
  EXPECT_EQ(report.mean_precision, 1);

  request.min_products = 11;
  EXPECT_EQ(evaluate(*engine.engine, request).queries, 1U);
  request.unspoken_values = {"red"};  // "a shirt" finds greys and others
  EXPECT_LT(evaluate(*engine.engine, request).mean_precision, 0.5);
}

TEST(Evaluation, FindsAttributesByTheirPaths) {
  const TemporaryDirectory data;
  TestCatalog catalog(4);
  for (std::size_t i = 0; i < 4; ++i) {
    const std::string id = "p" + std::to_string(i);
    catalog.remove(id);
    catalog.append({{"id", id},
                    {"image", id + ".png"},
                    {"caption", "a shirt"},
                    {"look", {{"colour", colours()[i]}}}});
  }
  catalog.write();
  const TestEngine engine(data.path());
  engine->index_catalog(catalog.request());
  EvaluationRequest request;
  request.catalog = "shop";
  request.attributes = {{"look.colour", "a {} shirt"}};
  request.query_template = "a {look.colour} shirt";
  request.min_products = 1;
  request.k = 1;
  const EvaluationReport report = evaluate(*engine.engine, request);
  ASSERT_EQ(report.attributes.size(), 1U);
  EXPECT_EQ(report.attributes[0].labels, 4U);
  EXPECT_EQ(report.attributes[0].accuracy, 1);
  EXPECT_EQ(report.queries, 4U);
  EXPECT_EQ(report.mean_precision, 1);
}

TEST(Evaluation, NamesTheAttributeWithTooManyValues) {
  const TemporaryDirectory data;
  TestCatalog catalog(1);
  for (std::size_t i = 0; i <= kMaxLabels; ++i) {
    const std::string id = "n" + std::to_string(i);
    catalog.append({{"id", id}, {"image", "p0.png"}, {"caption", "a shirt"}, {"sku", id}});
  }
  catalog.write();
  const TestEngine engine(data.path());
  engine->index_catalog(catalog.request());
  EvaluationRequest request;
  request.catalog = "shop";
  request.attributes = {{"sku", "{}"}};
  const Thrown thrown = thrown_by([&] { evaluate(*engine.engine, request); });
  EXPECT_EQ(thrown.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(thrown.message, HasSubstr("attribute \"sku\" cannot be labels: 1001 labels"));
}

TEST(Evaluation, RefusesWhatCannotBeMeasured) {
  const TemporaryDirectory data;
  const TestCatalog catalog(4);
  const TestEngine engine(data.path());
  engine->index_catalog(catalog.request());
  EvaluationRequest request;
  request.catalog = "shop";
  request.attributes = {{"sleeves", "{}"}};
  EXPECT_EQ(thrown_by([&] { evaluate(*engine.engine, request); }).code,
            ErrorCode::kInvalidArgument);
  request.attributes = {{"colour", "no gap"}};
  EXPECT_EQ(thrown_by([&] { request.validate(); }).code, ErrorCode::kInvalidArgument);
  request.attributes.clear();
  for (const char* query : {"no attribute", "a {}", "a {colour"}) {
    request.query_template = query;
    EXPECT_EQ(thrown_by([&] { request.validate(); }).code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(thrown_by([&] { evaluate(*engine.engine, request); }).code,
              ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace vitrine::engine
