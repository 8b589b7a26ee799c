#pragma once

#include <span>
#include <type_traits>
#include <vector>

#include "encoder/clip_config.h"
#include "encoder/cpu/batch_plan.h"
#include "encoder/cpu/block_float_linear.h"
#include "encoder/cpu/linear.h"
#include "encoder/cpu/quantized_linear.h"
#include "encoder/cpu/share.h"

namespace vitrine::encoder::cpu {

struct NormWeights {
  std::vector<float> scale;
  std::vector<float> shift;
};

/// Linear: PackedLinear<float>, PackedLinear<BFloat16>, BlockFloatLinear, QuantizedLinear<float> or
/// QuantizedLinear<BFloat16>.
template <typename Linear>
struct BlockWeights {
  NormWeights norm1;
  /// Queries, keys and values one under the other, each filled up to a multiple of kPanelColumns
  /// outputs. Queries are scaled by 1 / sqrt(depth of a head).
  Linear query_key_value;
  Linear out;
  NormWeights norm2;
  Linear fc1;
  Linear fc2;
};

/// What a sequence's pooled row goes into the last block with.
enum class LastBlock {
  kAddsToRow,   ///< what the blocks before made of it, as in every block
  kBeginsAnew,  ///< zeros: the block adds up attention to all rows, and what an MLP makes of that
};

/// Whether a layer's activated outputs are rounded for the next layer while they are at hand: those
/// of a block of columns have one scale, not a whole row.
template <typename Linear>
inline constexpr bool kRoundsBlocks = std::is_same_v<Linear, BlockFloatLinear>;

/// A pre-norm transformer, as CLIP's two towers are. Immutable but for the rows that it knows.
template <typename Linear>
class Transformer {
 public:
  using Value = typename Linear::Value;  ///< of what stands between two layers

  /// What one run works in, so that it allocates nothing. Made for a number of rows; not to be
  /// shared by runs that overlap.
  class Workspace {
   public:
    Workspace() = default;
    /// pages: what it lies in, which must be there as long as it is.
    Workspace(const Kernels& kernels, const TowerConfig& config, int rows, int threads,
              HugePages& pages);

    /// The residual stream, float32: the input of a run. [rows, width] at hidden_stride.
    float* hidden() { return hidden_.data(); }
    int rows() const { return rows_; }

   private:
    friend class Transformer;
    int rows_ = 0;
    AlignedBuffer<float> hidden_;  // [rows, width]
    /// [rows, width] after LayerNorm; where rows are rounded, those of the product at hand.
    typename Linear::Rows input_;
    /// Of each head, one row after the other: what attention reads of a sequence lies together.
    AlignedBuffer<Value> query_key_value_;  // [heads, rows] at head_stride(), [3, padded depth]
    ProductRows<Value> attended_;           // [rows, width]
    /// [rows, mlp_width]; rounded where kRoundsBlocks.
    std::conditional_t<kRoundsBlocks<Linear>, typename Linear::Rows, ProductRows<Value>> wide_;
    /// What one thread has for itself.
    struct Scratch {
      AlignedBuffer<float> floats;
      AlignedBuffer<Value> panels;     // of keys, of values, and rows of probabilities
      std::vector<const Value*> rows;  // of keys or of values; room for all
    };
    std::vector<Scratch> scratch_;
  };

  /// causal: a row attends to itself and what is before it only.
  Transformer(const Kernels& kernels, const TowerConfig& config, bool causal,
              std::vector<BlockWeights<Linear>> blocks, LastBlock last_block);

  std::size_t hidden_stride() const { return row_stride<float>(width_); }

  /// Remembers the keys and values that the first row of workspace.hidden() has in every block as
  /// those of kStartRow: where every text begins with the same token, they never change. For a
  /// causal transformer, before the first run().
  void learn_start(Workspace& workspace);
  /// Makes room for so many known rows, kStartRow included. Not beside a run().
  void reserve_known(int rows);

  /// Runs all blocks on workspace.hidden(), whose rows the sequences cover without a gap, and
  /// remembers the keys and values of rows that no run at the same time refers to. Called by every
  /// thread of the share's team. Afterwards row i of hidden() is the pooled row of sequence i
  /// (the last block computes no other); what the other rows hold is unspecified.
  void run(const Share& share, std::span<const Sequence> sequences,
           std::span<const NewKnownRow> new_known, Workspace& workspace);

  /// The products of all blocks on so many rows of whatever the workspace holds, and nothing else.
  /// pooled: of the rows, those that a last block that begins anew has queries for.
  void multiply_only(const Share& share, int rows, int pooled, const Workspace& workspace) const;

 private:
  void run_block(std::size_t b, const Share& share, std::span<const Sequence> sequences,
                 std::span<const NewKnownRow> new_known, Workspace& workspace);
  void remember(std::size_t b, const Share& share, std::span<const NewKnownRow> new_known,
                const Workspace& workspace);
  /// From a head's query of a row to the next row's.
  std::size_t head_stride() const { return row_stride<Value>(3 * padded_depth_); }
  /// Where a head's query of a row lies, and behind it key and value, padded_depth_ apart.
  std::size_t query_at(int head, int row, const Workspace& workspace) const;
  /// Of a known row: of each head, its key and its value.
  std::size_t known_stride() const { return row_stride<Value>(2 * heads_ * padded_depth_); }
  /// Puts the sums of a panel of query_key_value, with their bias, where attention reads them.
  void store_query_key_value(int row, int count, int column, int columns, const float* sums,
                             const float* bias, Workspace& workspace) const;
  /// The fewest heads whose columns are whole blocks of numbers that have one scale.
  int heads_of_blocks() const;
  /// Whether attend() rounds what it makes of so many sequences, or prepare() afterwards.
  bool rounds_attended(const Share& share, std::size_t sequences) const;
  void attend(std::size_t b, const Share& share, std::span<const Sequence> sequences, bool rounds,
              Workspace& workspace) const;
  /// A head's keys that the sequence's rows attend to; their values are padded_depth_ behind them.
  void find_keys(std::size_t b, const Sequence& sequence, int head, const Workspace& workspace,
                 std::vector<const Value*>& keys) const;
  /// queries: rows from first_query_row on, which stand at the last positions of the sequence's. A
  /// template, for of the two only that of the values' own type can be compiled.
  template <typename V = Value>
  requires std::is_same_v<V, float>
  void attend_head(std::size_t b, const Sequence& sequence, int head, int first_query_row,
                   int queries, Workspace& workspace, typename Workspace::Scratch& scratch) const;
  /// The same with probabilities in bfloat16, as queries, keys and values are.
  template <typename V = Value>
  requires std::is_same_v<V, BFloat16>
  void attend_head(std::size_t b, const Sequence& sequence, int head, int first_query_row,
                   int queries, Workspace& workspace, typename Workspace::Scratch& scratch) const;
  /// LayerNorm of rows of the residual stream, as `linear` reads them.
  void normalise(const Share& share, const NormWeights& norm, const Linear& linear, int rows,
                 Workspace& workspace) const;
  /// fc1 and its activation, into the workspace.
  void widen(const Share& share, const BlockWeights<Linear>& block, int rows,
             Workspace& workspace) const;
  /// What widen() left, as fc2 reads it.
  const typename Linear::Rows& prepare_wide(const Share& share, const Linear& fc2, int rows,
                                            Workspace& workspace) const;
  /// `values` as `linear` reads them; all threads may, then.
  const typename Linear::Rows& prepare(const Share& share, const Linear& linear,
                                       ProductRows<Value>& values, int rows,
                                       Workspace& workspace) const;
  /// Of each sequence only the pooled row counts from now on: it moves to the top, or begins anew.
  void keep_pooled_rows(std::span<const Sequence> sequences, Workspace& workspace) const;

  const Kernels& kernels_;
  const TowerConfig config_;
  const bool causal_;
  const LastBlock last_block_;
  const int width_;
  const int heads_;
  const int depth_;                           // of a head
  const int padded_width_;                    // of each of queries, keys and values, as outputs
  const int padded_depth_;                    // of each of them in a head, as attention reads it
  std::vector<BlockWeights<Linear>> blocks_;  // never changed
  std::vector<AlignedBuffer<Value>> known_;   // of each block, [rows, heads, key and value]
};

}  // namespace vitrine::encoder::cpu
