#include "encoder/cpu/batch_plan.h"

#include <algorithm>
#include <numeric>

#include "encoder/cpu/linear.h"

namespace vitrine::encoder::cpu {
namespace {

/// Rows that one thread takes through all blocks at a time: enough to use every weight often once
/// it is in the cache, few enough for the rows themselves to stay in the cache of the thread's
/// core.
constexpr int kRowsOfOneThread = 256;
/// The same of a piece, whose end may be waited for.
constexpr int kRowsOfPiece = 200;
/// The same where all threads work on the same rows.
constexpr int kRowsOfAllThreads = 448;
/// With fewer rows for each thread, reading the weights costs more than using them, and all threads
/// together should read them once.
constexpr int kMinRowsOfOneThread = 96;
/// A layer has a few tens of panels: more threads cannot share them evenly, and each reads all
/// rows.
constexpr int kMostTogether = 4;

/// Divides sequences that bring so many rows into chunks: of each, the first sequence only.
BatchPlan divide(std::span<const int> rows, const Crew& crew) {
  const int threads = crew.threads;
  const int all_rows = std::accumulate(rows.begin(), rows.end(), 0);
  const auto count = static_cast<int>(rows.size());
  BatchPlan plan;
  plan.together = threads == 1 || count < 2 * threads || all_rows < kMinRowsOfOneThread * threads ||
                  (crew.sticks_together && threads <= kMostTogether);
  int limit = threads == 1 ? kRowsOfOneThread : kRowsOfAllThreads;
  if (!plan.together) {
    // As many chunks for every thread, of about the same size.
    const int chunks = round_up((all_rows + kRowsOfOneThread - 1) / kRowsOfOneThread, threads);
    limit = (all_rows + chunks - 1) / chunks;
  }
  int rows_of_chunk = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (plan.chunks.empty() || rows_of_chunk + rows[i] / 2 > limit) {
      plan.chunks.push_back({.first_sequence = i});
      rows_of_chunk = 0;
    }
    rows_of_chunk += rows[i];
  }
  return plan;
}

/// Calls add(chunk, i) for every sequence i of the batch, of which there are `count`, and completes
/// the chunks around it.
template <typename Add>
void fill(BatchPlan& plan, std::size_t count, const Add& add) {
  int first_row = 0;
  for (std::size_t c = 0; c < plan.chunks.size(); ++c) {
    Chunk& chunk = plan.chunks[c];
    const std::size_t end = c + 1 < plan.chunks.size() ? plan.chunks[c + 1].first_sequence : count;
    chunk.first_row = first_row;
    for (std::size_t i = chunk.first_sequence; i < end; ++i) {
      add(chunk, i);
      chunk.rows += chunk.sequences.back().length;
    }
    first_row += chunk.rows;
  }
}

/// Adds what shall be known of a text from now on to the chunk. known: what is, by numbers. path:
/// the row of each token.
void remember(std::span<const std::int32_t> ids, std::span<const int> known,
              std::span<const int> path, PrefixCache& prefixes, Chunk& chunk) {
  int before = known.back();
  for (std::size_t t = known.size(); t + 1 < ids.size() && t < kMostKnownBefore; ++t) {
    int number = prefixes.find(before, ids[t]);  // of a text before this one
    if (number < 0) {
      number = prefixes.offer(before, ids[t]);
      if (number < 0) return;
      chunk.new_known.push_back({.row = path[t], .number = number});
    }
    before = number;
  }
}

std::size_t common_prefix(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace

std::size_t images_of_piece(int tokens) {
  return static_cast<std::size_t>(std::max(1, kRowsOfPiece / tokens));
}

BatchPlan plan_alike(std::size_t sequences, int length, int pooled, const Crew& crew) {
  BatchPlan plan = divide(std::vector<int>(sequences, length), crew);
  fill(plan, sequences, [length, pooled](Chunk& chunk, std::size_t) {
    Sequence sequence{
        .first_row = chunk.rows, .length = length, .keys = {}, .pooled = chunk.rows + pooled};
    sequence.keys.resize(static_cast<std::size_t>(length));
    std::iota(sequence.keys.begin(), sequence.keys.end(), sequence.first_row);
    chunk.sequences.push_back(std::move(sequence));
  });
  return plan;
}

TextPlan plan_texts(std::span<const std::span<const std::int32_t>> texts, std::int32_t start_id,
                    const Crew& crew, PrefixCache& prefixes) {
  prefixes.begin_batch();
  // In the order of their tokens a text has the longest common beginning with the one before it.
  std::vector<std::size_t> order(texts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    return std::ranges::lexicographical_compare(texts[a], texts[b]);
  });

  // The numbers of what is known of a text that begins with the start token. Its last token is
  // pooled, and needs a row.
  const auto known_of = [&](std::span<const std::int32_t> ids) {
    std::vector<int> numbers;
    if (ids.size() < 2 || ids[0] != start_id) return numbers;
    numbers.push_back(PrefixCache::kStart);
    while (numbers.size() + 1 < ids.size() && numbers.size() < kMostKnownBefore) {
      const int number = prefixes.find(numbers.back(), ids[numbers.size()]);
      if (number < 0) break;
      numbers.push_back(number);
    }
    return numbers;
  };
  std::vector<std::span<const std::int32_t>> distinct;
  std::vector<std::vector<int>> known;
  std::vector<int> rows;            // that each brings
  std::vector<std::size_t> shared;  // tokens that each has in common with the one before
  std::vector<std::size_t> sequence(texts.size());
  for (const std::size_t i : order) {
    const std::span<const std::int32_t> ids = texts[i];
    const std::size_t common = distinct.empty() ? 0 : common_prefix(distinct.back(), ids);
    if (distinct.empty() || common < std::max(ids.size(), distinct.back().size())) {
      distinct.push_back(ids);
      shared.push_back(common);
      known.push_back(known_of(ids));
      rows.push_back(static_cast<int>(ids.size() - std::max(common, known.back().size())));
    }
    sequence[i] = distinct.size() - 1;
  }

  TextPlan plan;
  static_cast<BatchPlan&>(plan) = divide(rows, crew);
  plan.sequence = std::move(sequence);
  std::vector<int> path;  // the row of each token of the text at hand
  fill(plan, distinct.size(), [&](Chunk& chunk, std::size_t i) {
    path.resize(chunk.sequences.empty() ? 0 : shared[i]);
    for (std::size_t t = path.size(); t < known[i].size(); ++t) {
      path.push_back(known_row(known[i][t]));
    }
    Sequence text{.first_row = chunk.rows};
    for (std::size_t t = path.size(); t < distinct[i].size(); ++t) {
      plan.tokens.push_back({distinct[i][t], static_cast<int>(t)});
      path.push_back(text.first_row + text.length++);
    }
    text.keys = path;
    text.pooled = path.back();
    if (!known[i].empty()) remember(distinct[i], known[i], path, prefixes, chunk);
    chunk.sequences.push_back(std::move(text));
  });
  return plan;
}

}  // namespace vitrine::encoder::cpu
