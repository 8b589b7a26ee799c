#include "encoder/cpu/transformer.h"

#include <algorithm>
#include <cstring>
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
                      + keys * columns        // values
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
  query_key_value_ = AlignedBuffer<Value>(at(rows, row_stride<Value>(3 * padded(width))), &pages);
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
      depth_(static_cast<int>(config.width / config.heads)),
      padded_width_(padded(static_cast<int>(config.width))),
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
void Transformer<Linear>::find_rows(std::size_t b, const Sequence& sequence, std::size_t column,
                                    const Workspace& workspace,
                                    std::vector<const Value*>& rows) const {
  const Value* first = workspace.query_key_value_.data() + column;
  const std::size_t stride = row_stride<Value>(3 * padded_width_);
  rows.clear();
  for (const int row : sequence.keys) {
    if (row >= 0) {
      rows.push_back(first + at(row, stride));
    } else {  // it has no queries
      rows.push_back(known_[b].data() + at(number_of_known(row), known_stride()) + column -
                     static_cast<std::size_t>(padded_width_));
    }
  }
}

template <typename Linear>
template <typename V>
requires std::is_same_v<V, float>
void Transformer<Linear>::attend_head(std::size_t b, const Sequence& sequence, int head,
                                      int first_query_row, int queries, Workspace& workspace,
                                      typename Workspace::Scratch& scratch) const {
  const std::size_t stride = row_stride<float>(3 * padded_width_);
  const auto column = static_cast<std::size_t>(head * depth_);
  const auto part = static_cast<std::size_t>(padded_width_);  // of queries, keys and values each
  const int length = static_cast<int>(sequence.keys.size());
  const auto keys = static_cast<std::size_t>(padded(length));
  const auto columns = static_cast<std::size_t>(padded(depth_));

  const float* query_key_value = workspace.query_key_value_.data();
  if (causal_) {
    // Each query has keys of its own, and of short texts there are few.
    find_rows(b, sequence, part + column, workspace, scratch.rows);
    for (int i = 0; i < queries; ++i) {
      const int row = first_query_row + i;
      kernels_.attend(query_key_value + at(row, stride) + column, scratch.rows.data(), part,
                      length - queries + i + 1, depth_, scratch.floats.data(),
                      workspace.attended_.at(row, static_cast<int>(column)));
    }
    return;
  }
  float* keys_transposed = scratch.floats.data();           // [depth, keys]
  float* padded_values = keys_transposed + columns * keys;  // [length, columns]
  float* padded_result = padded_values + keys * columns;    // [queries, columns]
  float* scores = padded_result + kQueryRows * columns;     // [queries, keys]
  // No product reads scores behind the keys; a softmax takes whole vectors.
  constexpr int kSoftmaxUnit = 16;
  const int scored = round_up(length, kSoftmaxUnit);

  // The keys of a sequence that knows no row are those of its rows.
  const float* first_key = query_key_value + at(sequence.keys[0], stride) + part + column;
  kernels_.transpose(first_key, stride, length, depth_, keys_transposed, keys);
  // Values and results are used where they are, unless a product would touch another head's.
  const bool in_place = depth_ % kPanelColumns == 0;
  const float* values = first_key + part;
  std::size_t value_stride = stride;
  if (!in_place) {
    for (int i = 0; i < length; ++i) {
      std::copy_n(values + at(i, stride), depth_, padded_values + at(i, columns));
    }
    values = padded_values;
    value_stride = columns;
  }
  for (int first = 0; first < queries; first += kQueryRows) {
    const int count = std::min(kQueryRows, queries - first);
    const int row = first_query_row + first;
    kernels_.multiply(query_key_value + at(row, stride) + column, stride, count, keys_transposed,
                      keys, static_cast<int>(keys), depth_, scores, keys, nullptr);
    for (int i = 0; i < count; ++i) kernels_.softmax(scores + at(i, keys), length, scored);
    float* attended = workspace.attended_.at(row, static_cast<int>(column));
    const std::size_t attended_stride = workspace.attended_.layout().row_stride;
    kernels_.multiply(scores, keys, count, values, value_stride, static_cast<int>(columns), length,
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
  const std::size_t stride = row_stride<BFloat16>(3 * padded_width_);
  const auto column = static_cast<std::size_t>(head * depth_);
  const auto part = static_cast<std::size_t>(padded_width_);  // of queries, keys and values each
  const int length = static_cast<int>(sequence.keys.size());
  const int keys = padded(length);
  const int columns = padded(depth_);

  BFloat16* key_panels = scratch.panels.data();
  BFloat16* value_panels = key_panels + at(keys, static_cast<std::size_t>(columns));
  BFloat16* probabilities = value_panels + at(keys, static_cast<std::size_t>(columns));
  float* sums = scratch.floats.data();

  find_rows(b, sequence, part + column, workspace, scratch.rows);
  kernels_.pack_transposed_bf16(scratch.rows.data(), length, depth_, key_panels);
  find_rows(b, sequence, 2 * part + column, workspace, scratch.rows);
  kernels_.pack_bf16(scratch.rows.data(), length, depth_, value_panels);
  for (int first = 0; first < queries; first += kQueryRows) {
    const int count = std::min(kQueryRows, queries - first);
    const std::size_t panel_stride = at(count, kPanelColumns);
    const auto probability_stride = static_cast<std::size_t>(keys);
    const BFloat16* query =
        workspace.query_key_value_.data() + at(first_query_row + first, stride) + column;
    // What lies behind a query's columns meets zeros of the panels.
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
      workspace.attended_.for_each_run(
          first_query_row + first, count, static_cast<int>(column) + panel,
          [&](int row, int run, BFloat16* out) {
            kernels_.add_bias_bf16(rows + at(row, kPanelColumns), kNoBias, run,
                                   std::min(kPanelColumns, depth_ - panel), out,
                                   workspace.attended_.layout().row_stride);
          });
    }
  }
}

template <typename Linear>
void Transformer<Linear>::attend(std::size_t b, const Share& share,
                                 std::span<const Sequence> sequences, Workspace& workspace) const {
  const int heads = static_cast<int>(config_.heads);
  const bool pooled_only = b + 1 == blocks_.size();
  auto& scratch = workspace.scratch_[static_cast<std::size_t>(share.rank)];
  share.take_each(static_cast<int>(sequences.size()) * heads, [&](int i) {
    const Sequence& sequence = sequences[static_cast<std::size_t>(i / heads)];
    if (pooled_only) {
      // The queries of the pooled rows stand at the top, in the order of the sequences.
      attend_head(b, sequence, i % heads, i / heads, 1, workspace, scratch);
    } else {
      attend_head(b, sequence, i % heads, sequence.first_row, sequence.length, workspace, scratch);
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
  const auto width = static_cast<std::size_t>(padded_width_);
  for (const NewKnownRow& known :
       new_known.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin))) {
    const Value* row =
        workspace.query_key_value_.data() + at(known.row, row_stride<Value>(3 * padded_width_));
    std::copy_n(row + width, 2 * width, known_[b].data() + at(known.number, known_stride()));
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
  const std::size_t qkv_stride = row_stride<Value>(3 * padded_width_);
  float* hidden = workspace.hidden_.data();
  Value* query_key_value = workspace.query_key_value_.data();

  const auto store_query_key_value = [&](int row, int count, int column, int columns,
                                         const float* sums, const float* bias) {
    add_bias(kernels_, query_key_value)(sums, bias, count, columns,
                                        query_key_value + at(row, qkv_stride) + column, qkv_stride);
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
                    store_query_key_value);
    share.barrier();
    if (share.rank == 0) keep_pooled_rows(sequences, workspace);
    share.barrier();
    multiply_shared(kernels_, share, block.query_key_value, workspace.input_, rows, 0, query_panels,
                    first_panel(share, block.out), store_query_key_value);
  } else {
    multiply_shared(kernels_, share, block.query_key_value, workspace.input_, rows, 0, panels,
                    first_panel(share, block.out), store_query_key_value);
  }
  share.barrier();

  remember(b, share, new_known, workspace);
  attend(b, share, sequences, workspace);
  multiply_shared(kernels_, share, block.out,
                  prepare(share, block.out, workspace.attended_, rows, workspace), rows, 0,
                  block.out.panels(), first_panel(share, block.fc1), add_to_hidden);
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
