#include "encoder/cpu/transformer.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <type_traits>

namespace vitrine::encoder::cpu {
namespace {

/// Queries of one head that are worked on together, at most.
constexpr int kQueryRows = 64;

/// Whether the linear layers round the rows they read, which are values before.
template <typename Linear>
constexpr bool kRounds =
    !std::is_same_v<typename Linear::Rows, ProductRows<typename Linear::Value>>;

auto add_bias(const Kernels& kernels, const float* /*out*/) { return kernels.add_bias; }
auto add_bias(const Kernels& kernels, const BFloat16* /*out*/) { return kernels.add_bias_bf16; }
auto activate(const Kernels& kernels, const float* /*out*/) { return kernels.activate; }
auto activate(const Kernels& kernels, const BFloat16* /*out*/) { return kernels.activate_bf16; }
void layer_norm(const Kernels& k, const float* x, const NormWeights& norm, float eps, int n,
                float* out, std::size_t /*line_stride*/) {
  k.layer_norm(x, norm.scale.data(), norm.shift.data(), eps, n, out);
}
void layer_norm(const Kernels& k, const float* x, const NormWeights& norm, float eps, int n,
                BFloat16* out, std::size_t line_stride) {
  k.layer_norm_bf16(x, norm.scale.data(), norm.shift.data(), eps, n, out, line_stride);
}

/// Of a layer's weights, what the share reads first.
template <typename Linear>
const typename Linear::Weight* first_panel(const Share& share, const Linear& linear) {
  return linear.panel(share.of(linear.panels()).first);
}

std::size_t at(int row, std::size_t stride) { return static_cast<std::size_t>(row) * stride; }

int padded(int n) { return round_up(n, kPanelColumns); }

struct ScratchSize {
  std::size_t floats = 0;
  std::size_t panels = 0;
};
/// What attention over sequences of up to `length` rows works in, a thread.
template <typename Value>
ScratchSize scratch_size(int length, int depth) {
  const auto keys = static_cast<std::size_t>(padded(length));
  const auto columns = static_cast<std::size_t>(padded(depth));
  if constexpr (std::is_same_v<Value, float>) {
    return {.floats = columns * keys          // keys, transposed
                      + kQueryRows * columns  // the result
                      + kQueryRows * keys};   // scores
  } else {
    return {.floats = kQueryRows * std::max(keys, columns),     // scores, then the result
            .panels = 2 * keys * columns + kQueryRows * keys};  // keys, values; probabilities
  }
}

}  // namespace

template <typename Linear>
Transformer<Linear>::Workspace::Workspace(const Kernels& kernels, const TowerConfig& config,
                                          int rows, int threads, HugePages& pages)
    : rows_(rows) {
  const auto width = static_cast<int>(config.width);
  const int depth = width / static_cast<int>(config.heads);
  hidden_ = AlignedBuffer<float>(at(rows, row_stride<float>(width)), &pages);
  const auto mlp_width = static_cast<int>(config.mlp_width);
  // Rows that are rounded are read one after the other before.
  const bool tiles = reads_tiles<Value>(kernels) && !kRounds<Linear>;
  if constexpr (kRounds<Linear>) {
    input_ = {kernels, rows, kRoundsBlocks<Linear> ? width : std::max(width, mlp_width), &pages};
  } else {
    input_ = {rows, width, tiles, &pages};
  }
  query_key_value_ = AlignedBuffer<Value>(
      at(rows * static_cast<int>(config.heads), row_stride<Value>(3 * padded(depth))), &pages);
  // Attention writes panels of a head's columns, which must not lie across lines.
  attended_ = ProductRows<Value>(rows, width, tiles && depth % kPanelColumns == 0, &pages);
  if constexpr (kRoundsBlocks<Linear>) {
    wide_ = {kernels, rows, mlp_width, &pages};
  } else {
    wide_ = {rows, mlp_width, tiles, &pages};
  }
  // A sequence of all rows may have known ones before them.
  const int longest = rows + kMostKnownBefore;
  const ScratchSize size = scratch_size<Value>(longest, depth);
  for (int i = 0; i < threads; ++i) {
    scratch_.push_back(
        {.floats = AlignedBuffer<float>(std::max(size.floats, row_stride<float>(width)), &pages),
         .panels = AlignedBuffer<Value>(size.panels, &pages),
         .rows = {}});
    scratch_.back().rows.reserve(static_cast<std::size_t>(longest));
  }
}

template <typename Linear>
Transformer<Linear>::Transformer(const Kernels& kernels, const TowerConfig& config, bool causal,
                                 std::vector<BlockWeights<Linear>> blocks, LastBlock last_block)
    : kernels_(kernels),
      config_(config),
      causal_(causal),
      last_block_(last_block),
      width_(static_cast<int>(config.width)),
      heads_(static_cast<int>(config.heads)),
      depth_(width_ / heads_),
      padded_width_(padded(width_)),
      padded_depth_(padded(depth_)),
      blocks_(std::move(blocks)) {}

template <typename Linear>
void Transformer<Linear>::normalise(const Share& share, const NormWeights& norm,
                                    [[maybe_unused]] const Linear& linear, int rows,
                                    Workspace& workspace) const {
  const auto eps = static_cast<float>(config_.layer_norm_eps);
  share.take_rows(rows, [&](int row) {
    const float* x = workspace.hidden() + at(row, hidden_stride());
    if constexpr (kRounds<Linear>) {
      float* normed = workspace.scratch_[static_cast<std::size_t>(share.rank)].floats.data();
      kernels_.layer_norm(x, norm.scale.data(), norm.shift.data(), eps, width_, normed);
      linear.write_row(kernels_, normed, row, workspace.input_);
    } else {
      layer_norm(kernels_, x, norm, eps, width_, workspace.input_.at(row, 0),
                 workspace.input_.layout().line_stride);
    }
  });
  share.barrier();
}

template <typename Linear>
const typename Linear::Rows& Transformer<Linear>::prepare(const Share& share, const Linear& linear,
                                                          ProductRows<Value>& values, int rows,
                                                          Workspace& workspace) const {
  share.barrier();
  if constexpr (kRounds<Linear>) {
    share.take_rows(rows, [&](int row) {
      linear.write_row(kernels_, values.at(row, 0), row, workspace.input_);
    });
    share.barrier();
    return workspace.input_;
  } else {
    return values;
  }
}

template <typename Linear>
void Transformer<Linear>::widen(const Share& share, const BlockWeights<Linear>& block, int rows,
                                Workspace& workspace) const {
  const Linear& fc1 = block.fc1;
  const auto* next = first_panel(share, block.fc2);
  if constexpr (kRoundsBlocks<Linear>) {
    const auto panel_of = [&](int group) { return std::min(group * kBlockPanels, fc1.panels()); };
    const int groups = round_up(fc1.panels(), kBlockPanels) / kBlockPanels;
    take_layer(kernels_, share, fc1, rows, groups, kBlockPanels, 1,
               [&](int begin, int end, const RowRange& range, int after) {
                 fc1.template multiply_groups<kBlockPanels>(
                     kernels_, workspace.input_, range, panel_of(begin), panel_of(end),
                     after == groups ? next : fc1.panel(panel_of(after)),
                     [&](int row, int count, int column, int columns, const float* sums,
                         const float* bias) {
                       workspace.wide_.write_activated(kernels_, config_.activation, row, count,
                                                       column, columns, sums, bias);
                     });
               });
  } else {
    multiply_shared(
        kernels_, share, fc1, workspace.input_, rows, 0, fc1.panels(), next,
        [&](int row, int count, int column, int columns, const float* sums, const float* bias) {
          workspace.wide_.for_each_run(row, count, column, [&](int first, int run, Value* out) {
            activate(kernels_, out)(sums + at(first, kPanelColumns), bias, config_.activation, run,
                                    columns, out, workspace.wide_.layout().row_stride);
          });
        });
  }
}

template <typename Linear>
const typename Linear::Rows& Transformer<Linear>::prepare_wide(const Share& share,
                                                               const Linear& fc2, int rows,
                                                               Workspace& workspace) const {
  if constexpr (kRoundsBlocks<Linear>) {
    share.barrier();
    return workspace.wide_;
  } else {
    return prepare(share, fc2, workspace.wide_, rows, workspace);
  }
}

template <typename Linear>
void Transformer<Linear>::keep_pooled_rows(std::span<const Sequence> sequences,
                                           Workspace& workspace) const {
  int to = 0;
  for (const Sequence& sequence : sequences) {
    const int from = sequence.pooled;
    float* hidden = workspace.hidden();
    if (last_block_ == LastBlock::kBeginsAnew) {
      std::fill_n(hidden + at(to, hidden_stride()), width_, 0.0F);
    } else if (from != to) {
      std::copy_n(hidden + at(from, hidden_stride()), width_, hidden + at(to, hidden_stride()));
    }
    // The probe's weights are zeros, which make NaN of what is not finite: of its own image only.
    if (from != to) workspace.input_.copy_row(from, to);
    ++to;
  }
}

template <typename Linear>
std::size_t Transformer<Linear>::query_at(int head, int row, const Workspace& workspace) const {
  return at(head * workspace.rows_ + row, head_stride());
}

template <typename Linear>
void Transformer<Linear>::store_query_key_value(int row, int count, int column, int columns,
                                                const float* sums, const float* bias,
                                                Workspace& workspace) const {
  // A panel of columns is of queries, of keys or of values, and of one head or several.
  const int which = column / padded_width_;
  const int first = column % padded_width_;
  const int last = std::min(first + columns, width_);
  for (int i = first; i < last;) {
    const int head = i / depth_;
    const int n = std::min(last, (head + 1) * depth_) - i;
    Value* out = workspace.query_key_value_.data() + query_at(head, row, workspace) +
                 which * padded_depth_ + i % depth_;
    add_bias(kernels_, out)(sums + (i - first), bias + (i - first), count, n, out, head_stride());
    i += n;
  }
}

template <typename Linear>
void Transformer<Linear>::find_keys(std::size_t b, const Sequence& sequence, int head,
                                    const Workspace& workspace,
                                    std::vector<const Value*>& keys) const {
  keys.clear();
  for (const int row : sequence.keys) {
    if (row >= 0) {
      keys.push_back(workspace.query_key_value_.data() + query_at(head, row, workspace) +
                     padded_depth_);
    } else {  // it has no queries
      keys.push_back(known_[b].data() + at(number_of_known(row), known_stride()) +
                     at(2 * head, static_cast<std::size_t>(padded_depth_)));
    }
  }
}

template <typename Linear>
template <typename V>
requires std::is_same_v<V, float>
void Transformer<Linear>::attend_head(std::size_t b, const Sequence& sequence, int head,
                                      int first_query_row, int queries, Workspace& workspace,
                                      typename Workspace::Scratch& scratch) const {
  const std::size_t stride = head_stride();
  const int column = head * depth_;
  const int length = static_cast<int>(sequence.keys.size());
  const auto keys = static_cast<std::size_t>(padded(length));
  const auto columns = static_cast<std::size_t>(padded_depth_);

  const float* query =
      workspace.query_key_value_.data() + query_at(head, first_query_row, workspace);
  if (causal_) {
    // Each query has keys of its own, and of short texts there are few.
    find_keys(b, sequence, head, workspace, scratch.rows);
    for (int i = 0; i < queries; ++i) {
      kernels_.attend(query + at(i, stride), scratch.rows.data(), columns, length - queries + i + 1,
                      depth_, scratch.floats.data(),
                      workspace.attended_.at(first_query_row + i, column));
    }
    return;
  }
  float* keys_transposed = scratch.floats.data();           // [depth, keys]
  float* padded_result = keys_transposed + columns * keys;  // [queries, columns]
  float* scores = padded_result + kQueryRows * columns;     // [queries, keys]
  // No product reads scores behind the keys; a softmax takes whole vectors.
  constexpr int kSoftmaxUnit = 16;
  const int scored = round_up(length, kSoftmaxUnit);

  // The keys of a sequence that knows no row are those of its rows.
  const float* first_key =
      workspace.query_key_value_.data() + query_at(head, sequence.keys[0], workspace) + columns;
  kernels_.transpose(first_key, stride, length, depth_, keys_transposed, keys);
  const float* values = first_key + columns;
  // The result is made where it is read, unless that would touch another head's.
  const bool in_place = depth_ == padded_depth_;
  for (int first = 0; first < queries; first += kQueryRows) {
    const int count = std::min(kQueryRows, queries - first);
    kernels_.multiply(query + at(first, stride), stride, count, keys_transposed, keys,
                      static_cast<int>(keys), depth_, scores, keys, nullptr);
    for (int i = 0; i < count; ++i) kernels_.softmax(scores + at(i, keys), length, scored);
    float* attended = workspace.attended_.at(first_query_row + first, column);
    const std::size_t attended_stride = workspace.attended_.layout().row_stride;
    kernels_.multiply(scores, keys, count, values, stride, padded_depth_, length,
                      in_place ? attended : padded_result, in_place ? attended_stride : columns,
                      nullptr);
    for (int i = 0; i < count && !in_place; ++i) {
      std::copy_n(padded_result + at(i, columns), depth_, attended + at(i, attended_stride));
    }
  }
}

template <typename Linear>
template <typename V>
requires std::is_same_v<V, BFloat16>
void Transformer<Linear>::attend_head(std::size_t b, const Sequence& sequence, int head,
                                      int first_query_row, int queries, Workspace& workspace,
                                      typename Workspace::Scratch& scratch) const {
  static constexpr float kNoBias[kPanelColumns] = {};
  const std::size_t stride = head_stride();
  const int length = static_cast<int>(sequence.keys.size());
  const int keys = padded(length);
  const int columns = padded_depth_;

  BFloat16* key_panels = scratch.panels.data();
  BFloat16* value_panels = key_panels + at(keys, static_cast<std::size_t>(columns));
  BFloat16* probabilities = value_panels + at(keys, static_cast<std::size_t>(columns));
  float* sums = scratch.floats.data();

  find_keys(b, sequence, head, workspace, scratch.rows);
  kernels_.pack_transposed_bf16(scratch.rows.data(), length, depth_, key_panels);
  for (const BFloat16*& row : scratch.rows) row += columns;
  kernels_.pack_bf16(scratch.rows.data(), length, depth_, value_panels);
  for (int first = 0; first < queries; first += kQueryRows) {
    const int count = std::min(kQueryRows, queries - first);
    const std::size_t panel_stride = at(count, kPanelColumns);
    const auto probability_stride = static_cast<std::size_t>(keys);
    const BFloat16* query =
        workspace.query_key_value_.data() + query_at(head, first_query_row + first, workspace);
    kernels_.multiply_bf16(query, row_major<BFloat16>(stride), count, key_panels,
                           keys / kPanelColumns, columns, sums, nullptr, 0);
    for (int i = 0; i < count; ++i) {
      const int seen = causal_ ? length - queries + first + i + 1 : length;
      kernels_.softmax_bf16(sums + at(i, kPanelColumns), panel_stride, seen, keys,
                            probabilities + at(i, probability_stride));
    }
    kernels_.multiply_bf16(probabilities, row_major<BFloat16>(probability_stride), count,
                           value_panels, columns / kPanelColumns, keys, sums, nullptr, 0);
    for (int panel = 0; panel < depth_; panel += kPanelColumns) {
      const float* rows = sums + static_cast<std::size_t>(panel / kPanelColumns) * panel_stride;
      workspace.attended_.for_each_run(first_query_row + first, count, head * depth_ + panel,
                                       [&](int row, int run, BFloat16* out) {
                                         kernels_.add_bias_bf16(
                                             rows + at(row, kPanelColumns), kNoBias, run,
                                             std::min(kPanelColumns, depth_ - panel), out,
                                             workspace.attended_.layout().row_stride);
                                       });
    }
  }
}

template <typename Linear>
int Transformer<Linear>::heads_of_blocks() const {
  return std::min(heads_, std::lcm(depth_, kBlockDepth) / depth_);
}

template <typename Linear>
bool Transformer<Linear>::rounds_attended(const Share& share, std::size_t sequences) const {
  if (!kRoundsBlocks<Linear>) return false;
  // Few large parts would be waited for at the barrier.
  constexpr int kPartsOfAThread = 8;
  const int parts = static_cast<int>(sequences) * (heads_ / heads_of_blocks());
  return share.team == nullptr || parts >= kPartsOfAThread * share.size;
}

template <typename Linear>
void Transformer<Linear>::attend(std::size_t b, const Share& share,
                                 std::span<const Sequence> sequences, bool rounds,
                                 Workspace& workspace) const {
  const bool pooled_only = b + 1 == blocks_.size();
  auto& scratch = workspace.scratch_[static_cast<std::size_t>(share.rank)];
  const int together = rounds ? heads_of_blocks() : 1;
  const int groups = (heads_ + together - 1) / together;
  share.take_each(static_cast<int>(sequences.size()) * groups, [&](int i) {
    const int number = i / groups;
    const Sequence& sequence = sequences[static_cast<std::size_t>(number)];
    // The queries of the pooled rows stand at the top, in the order of the sequences.
    const int first_row = pooled_only ? number : sequence.first_row;
    const int rows = pooled_only ? 1 : sequence.length;
    const int first_head = i % groups * together;
    const int last_head = std::min(first_head + together, heads_);
    for (int head = first_head; head < last_head; ++head) {
      attend_head(b, sequence, head, first_row, rows, workspace, scratch);
    }
    if constexpr (kRoundsBlocks<Linear>) {
      if (!rounds) return;
      const int column = first_head * depth_;
      const auto columns = static_cast<std::size_t>((last_head - first_head) * depth_);
      for (int row = first_row; row < first_row + rows; ++row) {
        workspace.input_.write(kernels_, row, column,
                               {workspace.attended_.at(row, column), columns});
      }
    }
  });
}

template <typename Linear>
void Transformer<Linear>::learn_start(Workspace& workspace) {
  known_.resize(blocks_.size());
  reserve_known(1);
  const Sequence alone{.first_row = 0, .length = 1, .keys = {0}, .pooled = 0};
  const NewKnownRow start{.row = 0, .number = number_of_known(kStartRow)};
  run({}, {&alone, 1}, {&start, 1}, workspace);
}

template <typename Linear>
void Transformer<Linear>::reserve_known(int rows) {
  for (AlignedBuffer<Value>& known : known_) {
    if (known.size() >= at(rows, known_stride())) continue;
    AlignedBuffer<Value> larger(at(rows, known_stride()));
    std::copy_n(known.data(), known.size(), larger.data());
    known = std::move(larger);
  }
}

template <typename Linear>
void Transformer<Linear>::remember(std::size_t b, const Share& share,
                                   std::span<const NewKnownRow> new_known,
                                   const Workspace& workspace) {
  const auto [begin, end] = share.of(static_cast<int>(new_known.size()));
  const auto depth = static_cast<std::size_t>(padded_depth_);
  for (const NewKnownRow& known :
       new_known.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin))) {
    Value* out = known_[b].data() + at(known.number, known_stride());
    for (int head = 0; head < heads_; ++head, out += 2 * depth) {
      const Value* query = workspace.query_key_value_.data() + query_at(head, known.row, workspace);
      std::copy_n(query + depth, 2 * depth, out);
    }
  }
}

template <typename Linear>
void Transformer<Linear>::run(const Share& share, std::span<const Sequence> sequences,
                              std::span<const NewKnownRow> new_known, Workspace& workspace) {
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    run_block(b, share, sequences, new_known, workspace);
  }
}

template <typename Linear>
void Transformer<Linear>::run_block(std::size_t b, const Share& share,
                                    std::span<const Sequence> sequences,
                                    std::span<const NewKnownRow> new_known, Workspace& workspace) {
  const BlockWeights<Linear>& block = blocks_[b];
  const bool last = b + 1 == blocks_.size();
  const int all_rows = sequences.back().first_row + sequences.back().length;
  const int rows = last ? static_cast<int>(sequences.size()) : all_rows;
  const std::size_t hidden_stride = this->hidden_stride();
  float* hidden = workspace.hidden_.data();

  const auto store = [&](int row, int count, int column, int columns, const float* sums,
                         const float* bias) {
    store_query_key_value(row, count, column, columns, sums, bias, workspace);
  };
  const auto add_to_hidden = [&](int row, int count, int column, int columns, const float* sums,
                                 const float* bias) {
    kernels_.accumulate(sums, bias, count, columns, hidden + at(row, hidden_stride) + column,
                        hidden_stride);
  };
  normalise(share, block.norm1, block.query_key_value, all_rows, workspace);

  const int query_panels = padded_width_ / kPanelColumns;
  const int panels = block.query_key_value.panels();
  if (last) {
    multiply_shared(kernels_, share, block.query_key_value, workspace.input_, all_rows,
                    query_panels, panels, block.query_key_value.panel(share.of(query_panels).first),
                    store);
    share.barrier();
    if (share.rank == 0) keep_pooled_rows(sequences, workspace);
    share.barrier();
    multiply_shared(kernels_, share, block.query_key_value, workspace.input_, rows, 0, query_panels,
                    first_panel(share, block.out), store);
  } else {
    multiply_shared(kernels_, share, block.query_key_value, workspace.input_, rows, 0, panels,
                    first_panel(share, block.out), store);
  }
  share.barrier();

  remember(b, share, new_known, workspace);
  const auto multiply_attended = [&](const typename Linear::Rows& attended) {
    multiply_shared(kernels_, share, block.out, attended, rows, 0, block.out.panels(),
                    first_panel(share, block.fc1), add_to_hidden);
  };
  const bool rounds = rounds_attended(share, sequences.size());
  attend(b, share, sequences, rounds, workspace);
  if constexpr (kRoundsBlocks<Linear>) {
    if (rounds) {
      share.barrier();
      multiply_attended(workspace.input_);
    }
  }
  if (!rounds) multiply_attended(prepare(share, block.out, workspace.attended_, rows, workspace));
  share.barrier();

  normalise(share, block.norm2, block.fc1, rows, workspace);
  widen(share, block, rows, workspace);
  multiply_shared(kernels_, share, block.fc2, prepare_wide(share, block.fc2, rows, workspace), rows,
                  0, block.fc2.panels(),
                  last ? nullptr : first_panel(share, blocks_[b + 1].query_key_value),
                  add_to_hidden);
  share.barrier();
}

template <typename Linear>
void Transformer<Linear>::multiply_only(const Share& share, int rows, int pooled,
                                        const Workspace& workspace) const {
  // In parts of the same size, for nobody waits at a barrier.
  const auto multiply_part = [&](const Linear& linear, const auto& x, int count,
                                 const Linear* next) {
    const auto [begin, end] = share.of(linear.panels());
    linear.multiply(kernels_, x, {0, count}, begin, end,
                    next == nullptr ? nullptr : first_panel(share, *next),
                    [](int, int, int, int, const float*, const float*) {});
  };
  const auto input_of = [&]([[maybe_unused]] const auto& values) -> const auto& {
    if constexpr (std::is_same_v<std::decay_t<decltype(values)>, typename Linear::Rows>) {
      return values;
    } else {
      return workspace.input_;
    }
  };
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const BlockWeights<Linear>& block = blocks_[b];
    const bool last = b + 1 == blocks_.size();
    const int count = last && last_block_ == LastBlock::kBeginsAnew ? pooled : rows;
    multiply_part(block.query_key_value, workspace.input_, rows, &block.out);
    multiply_part(block.out, input_of(workspace.attended_), count, &block.fc1);
    multiply_part(block.fc1, workspace.input_, count, &block.fc2);
    multiply_part(block.fc2, input_of(workspace.wide_), count,
                  last ? nullptr : &blocks_[b + 1].query_key_value);
  }
}

template class Transformer<PackedLinear<float>>;
template class Transformer<PackedLinear<BFloat16>>;
template class Transformer<BlockFloatLinear>;
template class Transformer<QuantizedLinear<float>>;
template class Transformer<QuantizedLinear<BFloat16>>;

}  // namespace vitrine::encoder::cpu
