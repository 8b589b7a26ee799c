#include "engine/zero_shot.h"

#include <gtest/gtest.h>

#include <numeric>

#include "support.h"

namespace vitrine::engine {
namespace {

TEST(PromptTemplate, FillsEitherFormOfGap) {
  EXPECT_EQ(PromptTemplate("a photo of a {}").apply("dress"), "a photo of a dress");
  EXPECT_EQ(PromptTemplate("{label}, on white").apply("shoe"), "shoe, on white");
  EXPECT_EQ(PromptTemplate("{}").apply("{}"), "{}");
}

TEST(PromptTemplate, RefusesAnyOtherNumberOfGaps) {
  for (const char* text : {"", "a photo", "{} and {}", "{label} {}", "{label}{label}", "{name}"}) {
    const Thrown thrown = thrown_by([&] { PromptTemplate{text}; });
    EXPECT_EQ(thrown.code, ErrorCode::kInvalidArgument) << text;
    EXPECT_NE(thrown.message.find("exactly one {} or {label}"), std::string::npos);
  }
}

TEST(PromptTemplate, RefusesMalformedUtf8) {
  EXPECT_EQ(thrown_by([] { PromptTemplate{"{}\xff"}; }).code, ErrorCode::kInvalidArgument);
}

TEST(Labels, MustBeSeveralDistinctTexts) {
  EXPECT_NO_THROW(validate_labels(std::vector<std::string>{"dress", "shoe"}));
  EXPECT_NO_THROW(validate_labels(std::vector<std::string>{"dress"}));
  std::vector<std::string> many;
  for (std::size_t i = 0; i < kMaxLabels; ++i) many.push_back(std::to_string(i));
  EXPECT_NO_THROW(validate_labels(many));
  many.push_back("one more");
  for (const std::vector<std::string>& labels :
       {std::vector<std::string>{}, {"dress", ""}, {" "}, {"a", "b", "a"}, {"\xc3"}, many}) {
    EXPECT_EQ(thrown_by([&] { validate_labels(labels); }).code, ErrorCode::kInvalidArgument);
  }
}

TEST(Softmax, SumsToOneForLargeLogits) {
  const std::vector<float> result = softmax(std::vector<float>{1000, 999, -1000});
  EXPECT_NEAR(std::accumulate(result.begin(), result.end(), 0.0), 1, 1e-6);
  EXPECT_NEAR(result[0], 0.731059, 1e-5);
  EXPECT_NEAR(result[1], 0.268941, 1e-5);
  EXPECT_EQ(result[2], 0);
}

TEST(Sigmoid, JudgesEachLogitByItself) {
  const std::vector<float> result = sigmoid(std::vector<float>{1000, 0, 2, -2, -1000});
  EXPECT_EQ(result[0], 1);
  EXPECT_EQ(result[1], 0.5F);
  EXPECT_NEAR(result[2], 0.880797, 1e-6);
  EXPECT_NEAR(result[3], 0.119203, 1e-6);
  EXPECT_EQ(result[4], 0);
}

}  // namespace
}  // namespace vitrine::engine
