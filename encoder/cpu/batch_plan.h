#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vitrine::encoder::cpu {

/// Stands for the row of the start token, whose keys and values a causal transformer knows; see
/// Transformer::learn_start().
inline constexpr int kStartRow = -1;

/// What an embedding is made of: the tokens of a text, the patches of an image. Rows are counted
/// from the first of the chunk.
struct Sequence {
  /// The rows that it brings, [first_row, first_row + length); at least one.
  int first_row = 0;
  int length = 0;
  /// The rows that its rows attend to, in the order of their positions: kStartRow or rows of
  /// sequences before it, then its own.
  std::vector<int> keys = {};
  /// Which of its rows the embedding is made of; where attention is causal, the last.
  int pooled = 0;
};

/// Consecutive sequences of a batch that go through a tower together. Their rows stand one after
/// the other, without a gap.
struct Chunk {
  std::size_t first_sequence = 0;  ///< which of the batch
  int first_row = 0;               ///< of all rows of the batch
  int rows = 0;
  std::vector<Sequence> sequences = {};
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

/// images: of `tokens` rows each, of which the first is pooled. threads: at least 1.
BatchPlan plan_images(std::size_t images, int tokens, int threads);

/// Under the causal mask a token's hidden states depend on nothing but the tokens before it: texts
/// that begin alike share the rows of what they have in common, and all of them the start token's.
struct TextPlan : BatchPlan {
  struct Token {
    std::int32_t id = 0;
    int position = 0;
  };
  std::vector<Token> tokens;          ///< of every row of the batch
  std::vector<std::size_t> sequence;  ///< which of the batch stands for text i
};

/// texts: ids up to the token that is pooled, at least one. start_id: of the token that kStartRow
/// stands for, or -1 for none. threads: at least 1.
TextPlan plan_texts(std::span<const std::span<const std::int32_t>> texts, std::int32_t start_id,
                    int threads);

}  // namespace vitrine::encoder::cpu
