#include "encoder/cpu/transformer.h"

#include <algorithm>
#include <cstring>

namespace vitrine::encoder::cpu {
namespace {

/// Queries of one head that are worked on together.
constexpr int kQueryRows = kBlockRows;

void convert(const Kernels& /*kernels*/, const float* values, int n, float* out) {
  std::memcpy(out, values, static_cast<std::size_t>(n) * sizeof(float));
}
void convert(const Kernels& kernels, const BFloat16* values, int n, float* out) {
  kernels.from_bf16(values, static_cast<std::size_t>(n), out);
}
void convert(const Kernels& kernels, const float* values, int n, BFloat16* out) {
  kernels.to_bf16(values, static_cast<std::size_t>(n), out);
}

void add_bias(const Kernels& k, const float* sums, const float* bias, int n, float* out) {
  k.add_bias(sums, bias, n, out);
}
void add_bias(const Kernels& k, const float* sums, const float* bias, int n, BFloat16* out) {
  k.add_bias_bf16(sums, bias, n, out);
}
void activate(const Kernels& k, const float* sums, const float* bias, Activation activation, int n,
              float* out) {
  k.activate(sums, bias, activation, n, out);
}
void activate(const Kernels& k, const float* sums, const float* bias, Activation activation, int n,
              BFloat16* out) {
  k.activate_bf16(sums, bias, activation, n, out);
}
void layer_norm(const Kernels& k, const float* x, const NormWeights& norm, float eps, int n,
                float* out) {
  k.layer_norm(x, norm.scale.data(), norm.shift.data(), eps, n, out);
}
void layer_norm(const Kernels& k, const float* x, const NormWeights& norm, float eps, int n,
                BFloat16* out) {
  k.layer_norm_bf16(x, norm.scale.data(), norm.shift.data(), eps, n, out);
}

std::size_t at(int row, std::size_t stride) { return static_cast<std::size_t>(row) * stride; }

int padded(int n) { return round_up(n, kPanelColumns); }

/// Floats that attention over sequences of up to `length` rows works in, a thread.
std::size_t scratch_size(int length, int depth) {
  const auto keys = static_cast<std::size_t>(padded(length));
  const auto columns = static_cast<std::size_t>(padded(depth));
  return columns * keys          // keys, transposed
         + keys * columns        // values
         + kQueryRows * columns  // queries, then the result
         + kQueryRows * keys;    // scores
}

}  // namespace

template <typename Value>
Transformer<Value>::Workspace::Workspace(const TowerConfig& config, int rows, int threads)
    : rows_(rows) {
  const auto width = static_cast<int>(config.width);
  const int depth = width / static_cast<int>(config.heads);
  hidden_ = AlignedBuffer<float>(at(rows, row_stride<float>(width)));
  normed_ = AlignedBuffer<Value>(at(rows, row_stride<Value>(width)));
  query_key_value_ = AlignedBuffer<Value>(at(rows, row_stride<Value>(3 * padded(width))));
  attended_ = AlignedBuffer<Value>(at(rows, row_stride<Value>(width)));
  wide_ = AlignedBuffer<Value>(at(rows, row_stride<Value>(static_cast<int>(config.mlp_width))));
  for (int i = 0; i < threads; ++i) scratch_.emplace_back(scratch_size(rows, depth));
}

template <typename Value>
Transformer<Value>::Transformer(const Kernels& kernels, const TowerConfig& config, bool causal,
                                std::vector<BlockWeights<Value>> blocks)
    : kernels_(kernels),
      config_(config),
      causal_(causal),
      width_(static_cast<int>(config.width)),
      depth_(static_cast<int>(config.width / config.heads)),
      padded_width_(padded(static_cast<int>(config.width))),
      blocks_(std::move(blocks)) {}

template <typename Value>
void Transformer<Value>::normalise(const Share& share, const NormWeights& norm, const float* x,
                                   int rows, Value* out) const {
  const auto [begin, end] = share.of(rows);
  for (int row = begin; row < end; ++row) {
    layer_norm(kernels_, x + at(row, hidden_stride()), norm,
               static_cast<float>(config_.layer_norm_eps), width_,
               out + at(row, row_stride<Value>(width_)));
  }
}

template <typename Value>
void Transformer<Value>::attend_head(const Sequence& sequence, int head, int first_query_row,
                                     int queries, int first_position, Workspace& workspace,
                                     float* scratch) const {
  const std::size_t stride = row_stride<Value>(3 * padded_width_);
  const auto column = static_cast<std::size_t>(head * depth_);
  const int length = sequence.length;
  const auto keys = static_cast<std::size_t>(padded(length));
  const auto columns = static_cast<std::size_t>(padded(depth_));
  const auto part = static_cast<std::size_t>(padded_width_);

  float* keys_transposed = scratch;                  // [depth, keys]
  float* values = keys_transposed + columns * keys;  // [length, columns]
  float* query = values + keys * columns;            // [queries, columns]
  float* scores = query + kQueryRows * columns;      // [queries, keys]

  const Value* rows = workspace.query_key_value_.data() + at(sequence.first_row, stride) + column;
  for (int i = 0; i < length; ++i) {
    convert(kernels_, rows + at(i, stride) + part, depth_, values + at(i, columns));
  }
  kernels_.transpose(values, columns, length, depth_, keys_transposed, keys);
  for (int i = 0; i < length; ++i) {
    convert(kernels_, rows + at(i, stride) + 2 * part, depth_, values + at(i, columns));
  }
  for (int first = 0; first < queries; first += kQueryRows) {
    const int count = std::min(kQueryRows, queries - first);
    for (int i = 0; i < count; ++i) {
      convert(kernels_,
              workspace.query_key_value_.data() + at(first_query_row + first + i, stride) + column,
              depth_, query + at(i, columns));
    }
    kernels_.multiply(query, columns, count, keys_transposed, keys, static_cast<int>(keys), depth_,
                      scores, keys);
    for (int i = 0; i < count; ++i) {
      const int seen = causal_ ? first_position + first + i + 1 : length;
      kernels_.softmax(scores + at(i, keys), seen, static_cast<int>(keys));
    }
    kernels_.multiply(scores, keys, count, values, columns, static_cast<int>(columns), length,
                      query, columns);
    for (int i = 0; i < count; ++i) {
      convert(kernels_, query + at(i, columns), depth_,
              workspace.attended_.data() +
                  at(first_query_row + first + i, row_stride<Value>(width_)) + column);
    }
  }
}

template <typename Value>
void Transformer<Value>::attend(const Share& share, std::span<const Sequence> sequences,
                                bool pooled_only, Workspace& workspace) const {
  const int heads = static_cast<int>(config_.heads);
  float* scratch = workspace.scratch_[static_cast<std::size_t>(share.rank)].data();
  const auto [begin, end] = share.of(static_cast<int>(sequences.size()) * heads);
  for (int i = begin; i < end; ++i) {
    const Sequence& sequence = sequences[static_cast<std::size_t>(i / heads)];
    if (pooled_only) {
      // The queries of the pooled rows stand at the top, in the order of the sequences.
      attend_head(sequence, i % heads, i / heads, 1, sequence.pooled, workspace, scratch);
    } else {
      attend_head(sequence, i % heads, sequence.first_row, sequence.length, 0, workspace, scratch);
    }
  }
}

template <typename Value>
void Transformer<Value>::run(const Share& share, std::span<const Sequence> sequences,
                             Workspace& workspace) const {
  const int all_rows = sequences.back().first_row + sequences.back().length;
  const std::size_t hidden_stride = this->hidden_stride();
  const std::size_t qkv_stride = row_stride<Value>(3 * padded_width_);
  const std::size_t wide_stride = row_stride<Value>(static_cast<int>(config_.mlp_width));
  float* hidden = workspace.hidden_.data();
  Value* normed = workspace.normed_.data();
  Value* query_key_value = workspace.query_key_value_.data();
  Value* wide = workspace.wide_.data();

  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const BlockWeights<Value>& block = blocks_[b];
    const bool last = b + 1 == blocks_.size();
    const int rows = last ? static_cast<int>(sequences.size()) : all_rows;

    normalise(share, block.norm1, hidden, all_rows, normed);
    share.barrier();

    const auto store_query_key_value = [&](int row, int column, int count, const float* sums,
                                           const float* bias) {
      add_bias(kernels_, sums, bias, count, query_key_value + at(row, qkv_stride) + column);
    };
    const int query_panels = padded_width_ / kPanelColumns;
    const int panels = block.query_key_value.panels();
    if (last) {
      const auto [begin, end] = share.of(panels - query_panels);
      block.query_key_value.multiply(kernels_, normed, all_rows, query_panels + begin,
                                     query_panels + end, store_query_key_value);
      share.barrier();
      // From here on only the pooled rows count; they move to the top.
      if (share.rank == 0) {
        for (int i = 0; i < rows; ++i) {
          const Sequence& sequence = sequences[static_cast<std::size_t>(i)];
          const int from = sequence.first_row + sequence.pooled;
          if (from == i) continue;
          std::copy_n(hidden + at(from, hidden_stride), width_, hidden + at(i, hidden_stride));
          std::copy_n(normed + at(from, row_stride<Value>(width_)), width_,
                      normed + at(i, row_stride<Value>(width_)));
        }
      }
      share.barrier();
      const auto [query_begin, query_end] = share.of(query_panels);
      block.query_key_value.multiply(kernels_, normed, rows, query_begin, query_end,
                                     store_query_key_value);
    } else {
      const auto [begin, end] = share.of(panels);
      block.query_key_value.multiply(kernels_, normed, rows, begin, end, store_query_key_value);
    }
    share.barrier();

    attend(share, sequences, last, workspace);
    share.barrier();

    const auto add_to_hidden = [&](int row, int column, int count, const float* sums,
                                   const float* bias) {
      kernels_.accumulate(sums, bias, count, hidden + at(row, hidden_stride) + column);
    };
    const auto [out_begin, out_end] = share.of(block.out.panels());
    block.out.multiply(kernels_, workspace.attended_.data(), rows, out_begin, out_end,
                       add_to_hidden);
    share.barrier();

    normalise(share, block.norm2, hidden, rows, normed);
    share.barrier();

    const auto [fc1_begin, fc1_end] = share.of(block.fc1.panels());
    block.fc1.multiply(kernels_, normed, rows, fc1_begin, fc1_end,
                       [&](int row, int column, int count, const float* sums, const float* bias) {
                         activate(kernels_, sums, bias, config_.activation, count,
                                  wide + at(row, wide_stride) + column);
                       });
    share.barrier();

    const auto [fc2_begin, fc2_end] = share.of(block.fc2.panels());
    block.fc2.multiply(kernels_, wide, rows, fc2_begin, fc2_end, add_to_hidden);
    share.barrier();
  }
}

template class Transformer<float>;
template class Transformer<BFloat16>;

}  // namespace vitrine::encoder::cpu
