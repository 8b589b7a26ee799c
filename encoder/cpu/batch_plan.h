#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "encoder/cpu/prefix_cache.h"

namespace vitrine::encoder::cpu {

/// Stands for a row whose keys and values a causal transformer knows, by the number that
/// PrefixCache gives it.
constexpr int known_row(int number) { return -1 - number; }
constexpr int number_of_known(int row) { return -1 - row; }
inline constexpr int kStartRow = known_row(PrefixCache::kStart);
/// Known rows that stand before a sequence's own, at most: texts begin alike with few tokens.
inline constexpr int kMostKnownBefore = 17;

/// What an embedding is made of: the tokens of a text, the patches of an image. Rows are counted
/// from the first of the chunk.
struct Sequence {
  /// The rows that it brings, [first_row, first_row + length); at least one.
  int first_row = 0;
  int length = 0;
  /// The rows that its rows attend to, in the order of their positions: known rows or rows of
  /// sequences before it, then its own.
  std::vector<int> keys = {};
  /// Which of its rows the embedding is made of; where attention is causal, the last.
  int pooled = 0;
};

/// A row whose keys and values will be known from then on, as `number`.
struct NewKnownRow {
  int row = 0;
  int number = 0;
};

/// Consecutive sequences of a batch that go through a tower together. Their rows stand one after
/// the other, without a gap.
struct Chunk {
  std::size_t first_sequence = 0;  ///< which of the batch
  int first_row = 0;               ///< of all rows of the batch
  int rows = 0;
  std::vector<Sequence> sequences = {};
  std::vector<NewKnownRow> new_known = {};
};

struct BatchPlan {
  bool together = false;  ///< all threads work on every chunk; else each takes whole chunks
  std::vector<Chunk> chunks;

  std::size_t sequences() const {
    return chunks.empty() ? 0 : chunks.back().first_sequence + chunks.back().sequences.size();
  }
};

/// Images that one thread takes through a tower at a time where there are always more: enough to
/// use every weight often, few enough for who waits for its end not to wait long.
std::size_t images_of_piece(int tokens);

/// Who takes a batch.
struct Crew {
  int threads = 1;  ///< at least 1
  /// Few threads work together even on rows that are enough for each: they end at the same time
  /// then, though their cores are not equally fast.
  bool sticks_together = false;
};

/// Sequences of `length` rows each, whose rows all attend to each other. pooled: which of its rows
/// a sequence's embedding is made of.
BatchPlan plan_alike(std::size_t sequences, int length, int pooled, const Crew& crew);

/// Under the causal mask a token's hidden states depend on nothing but the tokens before it: texts
/// that begin alike share the rows of what they have in common, and no row is needed for the start
/// token and for what is known of texts before.
struct TextPlan : BatchPlan {
  struct Token {
    std::int32_t id = 0;
    int position = 0;
  };
  std::vector<Token> tokens;          ///< of every row of the batch
  std::vector<std::size_t> sequence;  ///< which of the batch stands for text i
};

/// texts: ids up to the token that is pooled, at least one. start_id: of the token that kStartRow
/// stands for, or -1 for none. prefixes: what is known besides; the new known rows of the plan are
/// in it, and it begins a batch.
TextPlan plan_texts(std::span<const std::span<const std::int32_t>> texts, std::int32_t start_id,
                    const Crew& crew, PrefixCache& prefixes);

}  // namespace vitrine::encoder::cpu
