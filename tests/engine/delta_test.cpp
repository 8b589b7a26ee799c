#include "engine/delta.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "live_support.h"

namespace vitrine::engine {
namespace {

constexpr std::size_t kDimension = ColourEncoder::kDimension;
constexpr std::size_t kBaseRows = 100;

class DeltaSearch : public testing::Test {
 protected:
  /// An upsert of a product that the generation has not.
  storage::Update upsert(const std::string& id) {
    storage::Update update;
    update.sequence = ++sequence_;
    update.product.id = id;
    update.product.caption = id;
    update.image_embedding = random_unit_vector(random_);
    update.caption_embedding = random_unit_vector(random_);
    return update;
  }

  /// What a scan in double precision finds, rows and all.
  void expect_agrees_with_a_scan(const Delta& delta) {
    constexpr std::size_t kHits = 10;
    constexpr double kRounding = 1e-5;
    for (const Target target : {Target::kImage, Target::kCaption}) {
      const std::vector<float> query = random_unit_vector(random_);
      std::vector<double> scores;
      for (std::size_t row = 0; row < delta.rows(); ++row) {
        double sum = 0;
        for (std::size_t i = 0; i < kDimension; ++i) {
          sum += static_cast<double>(query[i]) * delta.vector(target, row)[i];
        }
        if (delta.is_live(row)) scores.push_back(sum);
      }
      std::ranges::sort(scores, std::greater<>());
      const index::SearchResult found =
          delta.search(target, {query.data(), 1, kDimension}, kHits, nullptr, {});
      for (std::size_t i = 0; i < std::min(kHits, scores.size()); ++i) {
        ASSERT_NE(found.rows[i], index::kNoRow) << i;
        EXPECT_TRUE(delta.is_live(static_cast<std::size_t>(found.rows[i])));
        EXPECT_NEAR(found.scores[i], scores[i], kRounding) << i;
      }
    }
  }

  std::mt19937 random_{5};
  std::uint64_t sequence_ = 0;
};

TEST_F(DeltaSearch, AgreesWithAScanAtEverySize) {
  Delta delta(kBaseRows, kDimension, 0);
  for (std::size_t row = 0; row < 2300; ++row) {
    DeltaEdit edit(delta);
    // Every seventh replaces an earlier one.
    const std::size_t product = row % 7 == 6 ? row / 2 : row;
    edit.apply(upsert("p" + std::to_string(product)), std::nullopt);
    delta = edit.finish();
    ASSERT_EQ(delta.rows(), row + 1);
    // Around the sizes at which rows get codes, and at some others.
    const std::size_t past = delta.rows() % 128;
    if (past <= 1 || past == 127 || row % 97 == 0) expect_agrees_with_a_scan(delta);
  }
}

TEST_F(DeltaSearch, KnowsNothingOfAnEditThatWasNeverFinished) {
  Delta delta(kBaseRows, kDimension, 0);
  for (const std::size_t rows : {127U, 256U, 1022U, 1100U, 2048U}) {
    DeltaEdit fill(delta);
    while (fill.now().rows() < rows) {
      fill.apply(upsert("p" + std::to_string(fill.now().rows())), std::nullopt);
    }
    delta = fill.finish();
    {
      DeltaEdit dropped(delta);
      for (int i = 0; i < 1200; ++i) {
        dropped.apply(upsert("dropped" + std::to_string(i)), std::nullopt);
      }
    }
    EXPECT_EQ(delta.rows(), rows);
    expect_agrees_with_a_scan(delta);
    DeltaEdit next(delta);
    for (int i = 0; i < 3; ++i) next.apply(upsert("next" + std::to_string(i)), std::nullopt);
    delta = next.finish();
    EXPECT_EQ(delta.rows(), rows + 3);
    expect_agrees_with_a_scan(delta);
  }
}

}  // namespace
}  // namespace vitrine::engine
