#include "engine/generation_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>

#include "base/error.h"
#include "live_support.h"

namespace vitrine::engine {
namespace {

constexpr std::size_t kRows = 3000;
constexpr std::size_t kDimension = ColourEncoder::kDimension;
constexpr int kHits = 12;

class GenerationSearch : public testing::TestWithParam<std::string> {
 protected:
  GenerationSearch() : vectors_(kRows, kDimension) {
    for (std::size_t row = 0; row < kRows; ++row) {
      std::ranges::copy(random_unit_vector(random_), vectors_.row(row).begin());
    }
    index::IndexSpec spec;
    spec.kind = GetParam();
    index_ = index::build_index(vectors_, spec);
  }

  /// With tombstones for these rows.
  Delta without(const std::function<bool(std::size_t)>& dead) const {
    Delta delta(kRows, kDimension, 0);
    DeltaEdit edit(delta);
    std::uint64_t sequence = 0;
    for (std::size_t row = 0; row < kRows; ++row) {
      if (!dead(row)) continue;
      storage::Update update;
      update.sequence = ++sequence;
      update.deleted = true;
      update.product.id = "p" + std::to_string(row);
      edit.apply(update, row);
    }
    return edit.finish();
  }

  MatrixView query(std::size_t row) const { return {vectors_.row(row).data(), 1, kDimension}; }

  /// The part of the exact hits that the index has found for the same queries, none of whose rows
  /// is dead.
  double recall_without_tombstones(MatrixView queries, int k) const {
    index::SearchOptions exactly;
    exactly.exact = true;
    const index::SearchResult exact = index_->search(queries, k, exactly);
    const index::SearchResult found = index_->search(queries, k, {});
    std::size_t common = 0;
    for (std::size_t i = 0; i < exact.rows.size(); ++i) {
      const auto begin = exact.rows.begin() + static_cast<std::ptrdiff_t>(i / exact.k * exact.k);
      const auto end = begin + static_cast<std::ptrdiff_t>(exact.k);
      common += std::find(begin, end, found.rows[i]) != end ? 1 : 0;
    }
    return static_cast<double>(common) / static_cast<double>(exact.rows.size());
  }

  /// No dead rows, best first, as many as there are; the part that an exact search gives.
  double recall(const Delta& delta, MatrixView queries, int k) const {
    const index::SearchResult found = search_generation(*index_, delta, queries, k, {});
    index::SearchOptions exactly;
    exactly.exact = true;
    exactly.allowed = delta.live_base();
    const index::SearchResult exact = index_->search(queries, k, exactly);
    EXPECT_EQ(found.queries, exact.queries);
    EXPECT_EQ(found.k, exact.k);
    EXPECT_EQ(found.rows.size(), exact.rows.size());
    EXPECT_EQ(found.scores.size(), exact.scores.size());
    std::size_t wanted = 0;
    std::size_t common = 0;
    for (std::size_t i = 0; i < queries.rows; ++i) {
      const auto begin = exact.rows.begin() + static_cast<std::ptrdiff_t>(i * exact.k);
      const std::set<std::int64_t> best(begin, begin + static_cast<std::ptrdiff_t>(exact.k));
      std::set<std::int64_t> seen;
      for (std::size_t at = i * exact.k; at < (i + 1) * exact.k; ++at) {
        EXPECT_EQ(found.rows[at] == index::kNoRow, exact.rows[at] == index::kNoRow) << at;
        if (found.rows[at] == index::kNoRow) continue;
        EXPECT_TRUE(delta.live_base()->contains(static_cast<std::size_t>(found.rows[at])));
        EXPECT_TRUE(seen.insert(found.rows[at]).second) << "twice";
        if (at > i * exact.k) {
          EXPECT_GE(found.scores[at - 1], found.scores[at]);
        }
        ++wanted;
        common += best.contains(found.rows[at]) ? 1 : 0;
      }
    }
    return static_cast<double>(common) / static_cast<double>(wanted);
  }

  std::mt19937 random_{3};
  Matrix vectors_;
  std::unique_ptr<const index::VectorIndex> index_;
};

TEST_P(GenerationSearch, LeavesOutTheDeadAndFindsTheOthersAsWellAsWithoutThem) {
  const MatrixView queries = {vectors_.data(), 40, kDimension};
  for (const unsigned percent : {1U, 10U, 40U, 60U, 95U}) {
    const Delta delta = without([&](std::size_t row) { return row * 2654435761U % 100 < percent; });
    ASSERT_GT(delta.tombstones(), 0U);
    for (const int k : {1, kHits, 300}) {
      const double least = GetParam() == "flat" ? 1 : recall_without_tombstones(queries, k) - 0.05;
      EXPECT_GE(recall(delta, queries, k), least) << percent << " " << k;
    }
  }
}

TEST_P(GenerationSearch, FindsEnoughWhereAllThatIsNearWasDeleted) {
  const index::SearchResult near = index_->search(query(7), 400, {});
  const std::set<std::int64_t> dead(near.rows.begin(), near.rows.end());
  const Delta delta =
      without([&](std::size_t row) { return dead.contains(static_cast<std::int64_t>(row)); });
  Matrix queries(3, kDimension);
  for (const std::size_t i : {0U, 1U, 2U}) {
    std::ranges::copy(vectors_.row(i == 1 ? 7 : 1000 + i), queries.row(i).begin());
  }
  EXPECT_GE(recall(delta, queries, kHits), GetParam() == "flat" ? 1 : 0.5);
}

TEST_P(GenerationSearch, GivesWhatIsLeftWhereThatIsLessThanWanted) {
  const Delta delta = without([](std::size_t row) { return row >= 5; });
  EXPECT_EQ(recall(delta, query(0), kHits), 1);
}

TEST_P(GenerationSearch, KeepsToTheAllowedRowsThatAreAlive) {
  const Delta delta = without([](std::size_t row) { return row % 3 == 0; });
  index::RowSet allowed(kRows);
  for (std::size_t row = 0; row < kRows; row += 2) allowed.insert(row);
  index::SearchOptions options;
  options.allowed = &allowed;
  const index::SearchResult found = search_generation(*index_, delta, query(2), kHits, options);
  for (const std::int64_t row : found.rows) {
    ASSERT_NE(row, index::kNoRow);
    EXPECT_TRUE(row % 2 == 0 && row % 3 != 0) << row;
  }
}

TEST_P(GenerationSearch, RefusesWhatTheIndexRefuses) {
  const Delta delta = without([](std::size_t row) { return row % 10 == 0; });
  EXPECT_THROW(search_generation(*index_, delta, query(0), 0, {}), Error);
  EXPECT_THROW(search_generation(*index_, delta, query(0), index::kMaxK + 1, {}), Error);
  EXPECT_THROW(search_generation(*index_, delta, {vectors_.data(), 1, kDimension - 1}, kHits, {}),
               Error);
}

TEST_P(GenerationSearch, NamesTheEffortThatWasAskedFor) {
  const Delta delta = without([](std::size_t row) { return row % 10 == 0; });
  index::SearchOptions options;
  options.ef_search = -9;
  const Thrown thrown =
      thrown_by([&] { search_generation(*index_, delta, query(0), kHits, options); });
  EXPECT_EQ(thrown.code, ErrorCode::kInvalidArgument);
  EXPECT_NE(thrown.message.find("-9"), std::string::npos) << thrown.message;
}

INSTANTIATE_TEST_SUITE_P(Kinds, GenerationSearch, testing::ValuesIn(index::index_kinds()),
                         [](const auto& kind) { return kind.param; });

}  // namespace
}  // namespace vitrine::engine
