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
constexpr int kRowsOfAllThreads = 1024;
/// With fewer rows for each thread, reading the weights costs more than using them, and all threads
/// together should read them once.
constexpr int kMinRowsOfOneThread = 96;

/// Divides sequences that bring so many rows into chunks: of each, the first sequence only.
BatchPlan divide(std::span<const int> rows, int threads) {
  const int all_rows = std::accumulate(rows.begin(), rows.end(), 0);
  const auto count = static_cast<int>(rows.size());
  BatchPlan plan;
  plan.together = threads == 1 || count < 2 * threads || all_rows < kMinRowsOfOneThread * threads;
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

std::size_t common_prefix(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace

std::size_t images_of_piece(int tokens) {
  return static_cast<std::size_t>(std::max(1, kRowsOfPiece / tokens));
}

BatchPlan plan_images(std::size_t images, int tokens, int threads) {
  BatchPlan plan = divide(std::vector<int>(images, tokens), threads);
  fill(plan, images, [tokens](Chunk& chunk, std::size_t) {
    Sequence image{.first_row = chunk.rows, .length = tokens, .pooled = chunk.rows};
    image.keys.resize(static_cast<std::size_t>(tokens));
    std::iota(image.keys.begin(), image.keys.end(), image.first_row);
    chunk.sequences.push_back(std::move(image));
  });
  return plan;
}

TextPlan plan_texts(std::span<const std::span<const std::int32_t>> texts, std::int32_t start_id,
                    int threads) {
  // In the order of their tokens a text has the longest common beginning with the one before it.
  std::vector<std::size_t> order(texts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    return std::ranges::lexicographical_compare(texts[a], texts[b]);
  });

  // Texts that begin with the start token and do not end with it need no row for it.
  const auto given = [start_id](std::span<const std::int32_t> ids) -> std::size_t {
    return ids.size() > 1 && ids[0] == start_id ? 1 : 0;
  };
  std::vector<std::span<const std::int32_t>> distinct;
  std::vector<int> rows;            // that each brings
  std::vector<std::size_t> shared;  // tokens that each has in common with the one before
  std::vector<std::size_t> sequence(texts.size());
  for (const std::size_t i : order) {
    const std::span<const std::int32_t> ids = texts[i];
    const std::size_t common = distinct.empty() ? 0 : common_prefix(distinct.back(), ids);
    if (distinct.empty() || common < std::max(ids.size(), distinct.back().size())) {
      distinct.push_back(ids);
      shared.push_back(common);
      rows.push_back(static_cast<int>(ids.size() - std::max(common, given(ids))));
    }
    sequence[i] = distinct.size() - 1;
  }

  TextPlan plan;
  static_cast<BatchPlan&>(plan) = divide(rows, threads);
  plan.sequence = std::move(sequence);
  std::vector<int> path;  // the row of each token of the text at hand
  fill(plan, distinct.size(), [&](Chunk& chunk, std::size_t i) {
    path.resize(chunk.sequences.empty() ? 0 : shared[i]);
    if (path.empty()) path.resize(given(distinct[i]), kStartRow);
    Sequence text{.first_row = chunk.rows};
    for (std::size_t t = path.size(); t < distinct[i].size(); ++t) {
      plan.tokens.push_back({distinct[i][t], static_cast<int>(t)});
      path.push_back(text.first_row + text.length++);
    }
    text.keys = path;
    text.pooled = path.back();
    chunk.sequences.push_back(std::move(text));
  });
  return plan;
}

}  // namespace vitrine::encoder::cpu
