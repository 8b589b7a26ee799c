#include "encoder/cpu/batch_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace vitrine::encoder::cpu {
namespace {

constexpr std::int32_t kStart = 7;
constexpr std::int32_t kEnd = 9;

using Ids = std::vector<std::int32_t>;

TextPlan plan(const std::vector<Ids>& texts, int threads, PrefixCache& prefixes) {
  const std::vector<std::span<const std::int32_t>> spans(texts.begin(), texts.end());
  return plan_texts(spans, kStart, {.threads = threads}, prefixes);
}
/// Where nothing is known of texts before.
TextPlan plan(const std::vector<Ids>& texts, int threads = 1) {
  PrefixCache prefixes(100);
  return plan(texts, threads, prefixes);
}

/// The tokens that lead to each known row, its own among them.
using Known = std::map<int, Ids>;

std::size_t rows_of(const BatchPlan& plan) {
  std::size_t rows = 0;
  for (const Chunk& chunk : plan.chunks) rows += static_cast<std::size_t>(chunk.rows);
  return rows;
}

/// The tokens along a sequence's keys, and that what else the plan says of it is consistent.
Ids tokens_of(const TextPlan& plan, std::size_t sequence, const Known& known = {}) {
  for (const Chunk& chunk : plan.chunks) {
    if (sequence >= chunk.first_sequence + chunk.sequences.size()) continue;
    const Sequence& found = chunk.sequences[sequence - chunk.first_sequence];
    Ids ids;
    for (std::size_t position = 0; position < found.keys.size(); ++position) {
      const int row = found.keys[position];
      if (row == kStartRow) {
        EXPECT_EQ(position, 0U);
        ids.push_back(kStart);
        continue;
      }
      if (row < 0) {
        const Ids& before = known.at(number_of_known(row));
        EXPECT_EQ(before.size(), position + 1);
        EXPECT_TRUE(std::equal(ids.begin(), ids.end(), before.begin()));
        ids.push_back(before.back());
        continue;
      }
      EXPECT_LT(row, chunk.rows);
      const TextPlan::Token& token =
          plan.tokens.at(static_cast<std::size_t>(chunk.first_row + row));
      EXPECT_EQ(token.position, static_cast<int>(position));
      ids.push_back(token.id);
    }
    EXPECT_EQ(found.pooled, found.keys.back());
    EXPECT_GE(found.length, 1);
    for (int i = 0; i < found.length; ++i) {
      EXPECT_EQ(found.keys[found.keys.size() - static_cast<std::size_t>(found.length - i)],
                found.first_row + i);
    }
    return ids;
  }
  ADD_FAILURE() << "no sequence " << sequence;
  return {};
}

TEST(TextPlan, ComputesTheStartTokenOfNoText) {
  const TextPlan two = plan({{kStart, 1, 2, kEnd}, {kStart, 3, kEnd}});
  EXPECT_EQ(rows_of(two), 5U);
  EXPECT_EQ(tokens_of(two, two.sequence[0]), (Ids{kStart, 1, 2, kEnd}));
  EXPECT_EQ(tokens_of(two, two.sequence[1]), (Ids{kStart, 3, kEnd}));
}

TEST(TextPlan, ComputesWhatTextsBeginWithOnce) {
  const std::vector<Ids> texts = {{kStart, 1, 2, 3, 4, kEnd},
                                  {kStart, 5, kEnd},
                                  {kStart, 1, 2, 3, 5, kEnd},
                                  {kStart, 1, 2, kEnd}};
  const TextPlan plan_of_all = plan(texts);
  EXPECT_EQ(rows_of(plan_of_all), 3U + 2U + 2U + 2U + 1U);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(tokens_of(plan_of_all, plan_of_all.sequence[i]), texts[i]);
  }
}

TEST(TextPlan, EncodesEqualTextsOnce) {
  const Ids text = {kStart, 1, 2, kEnd};
  const TextPlan plan_of_all = plan({text, {kStart, 1, kEnd}, text, text});
  EXPECT_EQ(plan_of_all.sequences(), 2U);
  EXPECT_EQ(plan_of_all.sequence[0], plan_of_all.sequence[2]);
  EXPECT_EQ(plan_of_all.sequence[0], plan_of_all.sequence[3]);
  EXPECT_NE(plan_of_all.sequence[0], plan_of_all.sequence[1]);
}

TEST(TextPlan, GivesEveryTextARowToBePooled) {
  const std::vector<Ids> texts = {{kStart}, {kStart, 1}, {kStart, 1, 2}, {1}, {1, 2}, {kEnd}};
  const TextPlan plan_of_all = plan(texts);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(tokens_of(plan_of_all, plan_of_all.sequence[i]), texts[i]);
  }
}

TEST(TextPlan, HoldsEveryTextHoweverItIsDivided) {
  std::mt19937 random(1);
  for (const int threads : {1, 2, 3, 8}) {
    for (const std::size_t count : {0U, 1U, 5U, 40U, 700U}) {
      std::vector<Ids> texts(count);
      for (Ids& ids : texts) {
        ids.resize(1 + random() % 12);
        for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random() % 3);
        if (random() % 8 != 0) ids[0] = kStart;
      }
      const TextPlan plan_of_all = plan(texts, threads);
      ASSERT_EQ(plan_of_all.sequence.size(), count);
      for (std::size_t i = 0; i < count; ++i) {
        EXPECT_EQ(tokens_of(plan_of_all, plan_of_all.sequence[i]), texts[i]);
      }
      EXPECT_EQ(plan_of_all.tokens.size(), rows_of(plan_of_all));
    }
  }
}

TEST(BatchPlan, LetsFewThreadsTakeManyRowsTogether) {
  for (const int threads : {2, 4}) {
    const BatchPlan images = plan_alike(32, 50, 0, {.threads = threads, .sticks_together = true});
    EXPECT_TRUE(images.together);
    EXPECT_EQ(images.sequences(), 32U);
    for (const Chunk& chunk : images.chunks) EXPECT_LE(chunk.rows, 450);
    EXPECT_FALSE(plan_alike(32, 50, 0, {.threads = threads}).together);
  }
  EXPECT_FALSE(plan_alike(100, 50, 0, {.threads = 5, .sticks_together = true}).together);
}

TEST(TextPlan, GivesManyRowsToTheThreadsInEqualParts) {
  std::vector<Ids> texts;
  for (std::int32_t i = 0; i < 200; ++i) texts.push_back({kStart, 10 + i, 1, 2, 3, kEnd});
  const TextPlan plan_of_all = plan(texts, 4);
  EXPECT_FALSE(plan_of_all.together);
  ASSERT_EQ(plan_of_all.chunks.size(), 4U);
  for (const Chunk& chunk : plan_of_all.chunks) EXPECT_EQ(chunk.rows, 250);
  EXPECT_TRUE(plan({texts[0], texts[1]}, 4).together);
}

/// What is known once the plan has been carried out.
void learn(const TextPlan& plan, Known& known) {
  Known learnt = known;
  for (const Chunk& chunk : plan.chunks) {
    for (const NewKnownRow& row : chunk.new_known) {
      // The tokens of a row are those of a sequence whose keys it is among.
      for (std::size_t i = 0; i < chunk.sequences.size(); ++i) {
        const std::vector<int>& keys = chunk.sequences[i].keys;
        const auto found = std::ranges::find(keys, row.row);
        if (found == keys.end()) continue;
        Ids ids = tokens_of(plan, chunk.first_sequence + i, known);
        ids.resize(static_cast<std::size_t>(found - keys.begin()) + 1);
        learnt[row.number] = ids;
        break;
      }
    }
  }
  known = std::move(learnt);
}

TEST(TextPlan, RemembersWhatTextsBeganWith) {
  PrefixCache prefixes(100);
  Known known;
  const auto rows = [&](const std::vector<Ids>& texts) {
    const TextPlan made = plan(texts, 1, prefixes);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(tokens_of(made, made.sequence[i], known), texts[i]);
    }
    learn(made, known);
    return rows_of(made);
  };
  const Ids text = {kStart, 1, 2, kEnd};
  EXPECT_EQ(rows({text}), 3U);  // seen for the first time
  EXPECT_EQ(rows({text}), 3U);  // 1 will be known
  EXPECT_EQ(rows({text}), 2U);
  EXPECT_EQ(rows({{kStart, 1, 3, kEnd}}), 2U);
  EXPECT_EQ(rows({text, {kStart, 1, kEnd}}), 1U + 1U);  // 2 is known as well
  // What is pooled needs a row, known or not.
  EXPECT_EQ(rows({text}), 1U);
  EXPECT_EQ(rows({{kStart, 1, 2}}), 1U);
  // Texts that do not begin with the start token have nothing in common with those that do.
  EXPECT_EQ(rows({{1, 2, kEnd}}), 3U);
}

TEST(TextPlan, RemembersWhatTextsOfABatchHaveInCommon) {
  PrefixCache prefixes(100);
  const std::vector<Ids> texts = {{kStart, 1, 2, kEnd}, {kStart, 1, 3, kEnd}};
  EXPECT_EQ(rows_of(plan(texts, 1, prefixes)), 5U);
  EXPECT_EQ(rows_of(plan(texts, 1, prefixes)), 4U);
}

TEST(TextPlan, HoldsEveryTextWhateverIsKnown) {
  std::mt19937 random(3);
  for (const int threads : {1, 3}) {
    PrefixCache prefixes(20);  // fewer than there are beginnings
    Known known;
    for (int batch = 0; batch < 200; ++batch) {
      std::vector<Ids> texts(batch % 10 == 0 ? 300 : 1 + random() % 8);
      for (Ids& ids : texts) {
        ids.resize(1 + random() % (batch % 7 == 0 ? 30 : 6));
        for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random() % 4);
        if (random() % 8 != 0) ids[0] = kStart;
      }
      const TextPlan made = plan(texts, threads, prefixes);
      for (std::size_t i = 0; i < texts.size(); ++i) {
        ASSERT_EQ(tokens_of(made, made.sequence[i], known), texts[i]);
      }
      std::set<int> numbers;
      for (const Chunk& chunk : made.chunks) {
        for (const NewKnownRow& row : chunk.new_known) {
          EXPECT_TRUE(numbers.insert(row.number).second);
          EXPECT_LT(row.number, prefixes.rows());
        }
        for (const Sequence& text : chunk.sequences) {
          EXPECT_LE(std::ranges::count_if(text.keys, [](int row) { return row < 0; }),
                    kMostKnownBefore);
        }
      }
      // Nothing that the plan reads will be written while it is carried out.
      for (const Chunk& chunk : made.chunks) {
        for (const Sequence& text : chunk.sequences) {
          for (const int row : text.keys) {
            if (row >= 0) continue;
            EXPECT_FALSE(numbers.contains(number_of_known(row)));
          }
        }
      }
      learn(made, known);
    }
  }
}

TEST(ImagePlan, LetsTheRowsOfAnImageAttendToEachOther) {
  for (const int threads : {1, 2}) {
    const BatchPlan images = plan_alike(11, 50, 0, {.threads = threads});
    EXPECT_EQ(images.sequences(), 11U);
    EXPECT_EQ(rows_of(images), 550U);
    for (const Chunk& chunk : images.chunks) {
      int row = 0;
      for (const Sequence& image : chunk.sequences) {
        EXPECT_EQ(image.first_row, row);
        EXPECT_EQ(image.pooled, row);
        ASSERT_EQ(image.keys.size(), 50U);
        for (const int key : image.keys) EXPECT_EQ(key, row++);
      }
      EXPECT_EQ(chunk.rows, row);
    }
  }
}

}  // namespace
}  // namespace vitrine::encoder::cpu
