#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/matrix.h"
#include "base/thread_team.h"
#include "encoder/cpu/batch_plan.h"
#include "encoder/cpu/teamwork.h"
#include "encoder/cpu/transformer.h"

namespace vitrine::encoder::cpu {

template <typename Linear>
struct PatchLinearOf {
  using Type = Linear;
};
template <>
struct PatchLinearOf<QuantizedLinear<float>> {
  using Type = BlockFloatLinear;
};
template <>
struct PatchLinearOf<QuantizedLinear<BFloat16>> {
  using Type = PackedLinear<BFloat16>;
};
/// What embeds the patches of an image, before blocks of such layers: not in 8 bits, for all that
/// follows depends on it.
template <typename Linear>
using PatchLinear = typename PatchLinearOf<Linear>::Type;

/// From pooled rows to embeddings.
struct Projection {
  NormWeights norm;
  PackedLinear<float> linear;
};

/// A transformer, the threads' workspaces, and the way from pooled rows to embeddings: without a
/// projection, they are that. input_columns: of what the first block's input is computed from, 0
/// for nothing.
template <typename Linear>
class Tower {
 public:
  using Value = typename Linear::Value;

  Tower(const Kernels& kernels, const TowerConfig& config, Transformer<Linear> transformer,
        std::optional<Projection> projection, int input_columns)
      : kernels_(kernels),
        config_(config),
        transformer_(std::move(transformer)),
        projection_(std::move(projection)),
        input_columns_(input_columns) {}

  using Workspace = typename Transformer<Linear>::Workspace;
  using InputRows = typename PatchLinear<Linear>::Rows;

  /// Room for what the first block's input is computed from.
  struct Input {
    InputRows rows;               ///< [rows, input_columns], as products read them
    AlignedBuffer<Value> values;  ///< [threads, input_columns], a row of each at hand
    Value* row_of(int rank, int columns) {
      return values.data() + static_cast<std::ptrdiff_t>(rank) * columns;
    }
  };

  std::size_t hidden_stride() const { return transformer_.hidden_stride(); }
  int width() const { return static_cast<int>(config_.width); }

  /// Of the team, for the plan of the next run().
  Crew crew(const ThreadTeam& team) const {
    return {team.size(), kBetterTogether && !teamwork_.is_hindered()};
  }

  /// What kStartRow stands for from now on. hidden: [width], the first block's input.
  void learn_start(std::span<const float> hidden) {
    HugePages pages;
    Workspace workspace(kernels_, config_, 1, 1, pages);
    std::ranges::copy(hidden, workspace.hidden());
    transformer_.learn_start(workspace);
  }
  void reserve_known(int rows) { transformer_.reserve_known(rows); }

  /// Takes a batch through the tower; returns the embeddings of its sequences. embed(share, chunk,
  /// input, hidden) writes the first block's input of the chunk's rows to hidden, at
  /// hidden_stride(), and must not throw. input is an Input for the chunk's rows.
  template <typename Embed>
  Matrix run(ThreadTeam& team, const BatchPlan& plan, const Embed& embed) {
    Matrix embeddings = room_for(plan);
    const auto work = [&](const Share& share, const Chunk& chunk, Lane& lane) {
      run_chunk(share, chunk, lane, embed, embeddings);
    };
    const bool together = plan.together && team.size() > 1;
    const bool hindered = !teamwork_.next_together();
    if (together && hindered) {
      reserve(1, most_rows(plan), team.size());
      for (const Chunk& chunk : plan.chunks) work({}, chunk, lanes_[0]);
      return embeddings;
    }
    const auto start = std::chrono::steady_clock::now();
    for_each_chunk(team, plan, work);
    if (together) {
      teamwork_.judge(std::chrono::steady_clock::now() - start, team.waited(), team.size());
    }
    return embeddings;
  }

  /// Calls work(run) on every thread of the team. run(plan, embed) is run() of a batch of at most
  /// so many rows, on that thread alone. Rethrows the first exception once all have ended.
  template <typename Work>
  void run_alone(ThreadTeam& team, int rows, const Work& work) {
    reserve(team.size(), rows, team.size());
    run_throwing(team, [&](int rank) {
      Lane& lane = lanes_[static_cast<std::size_t>(rank)];
      work([&](const BatchPlan& plan, const auto& embed) {
        Matrix embeddings = room_for(plan);
        for (const Chunk& chunk : plan.chunks) run_chunk({}, chunk, lane, embed, embeddings);
        return embeddings;
      });
    });
  }

  /// The products of run() on rows of any values, and nothing else. input: the layer whose outputs
  /// are the first block's input, for so many rows of each sequence.
  void multiply_only(ThreadTeam& team, const BatchPlan& plan, const PatchLinear<Linear>& input,
                     int input_rows) {
    const auto drop = [](int, int, int, int, const float*, const float*) {};
    for_each_chunk(team, plan, [&](const Share& share, const Chunk& chunk, Lane& lane) {
      const int count = static_cast<int>(chunk.sequences.size());
      const auto [begin, end] = share.of(input.panels());
      input.multiply(kernels_, lane.input.rows, {0, count * input_rows}, begin, end, nullptr, drop);
      transformer_.multiply_only(share, chunk.rows, count, lane.workspace);
      if (!projection_) return;
      const auto [first, last] = share.of(projection_->linear.panels());
      projection_->linear.multiply(kernels_, lane.pooled, {0, count}, first, last, nullptr, drop);
    });
  }

 private:
  /// Whether few threads are faster together, however many rows there are. 8-bit layers are not:
  /// their rows, rounded as a whole before they are multiplied, go from core to core once more. Of
  /// bfloat16 products it is not known.
  static constexpr bool kBetterTogether =
      std::is_same_v<Linear, BlockFloatLinear> || std::is_same_v<Linear, PackedLinear<float>>;

  struct Lane {
    /// Of all the rest: destroyed last. An assignment replaces it first, which does no harm, for
    /// buffers in pages of others do not touch them when they go.
    std::unique_ptr<HugePages> pages;
    Workspace workspace;
    ProductRows<float> pooled;  // [rows, width]
    Input input;
  };

  Matrix room_for(const BatchPlan& plan) const {
    const int columns = projection_ ? projection_->linear.outputs() : width();
    return {plan.sequences(), static_cast<std::size_t>(columns)};
  }

  /// embeddings: of all sequences of the batch.
  template <typename Embed>
  void run_chunk(const Share& share, const Chunk& chunk, Lane& lane, const Embed& embed,
                 Matrix& embeddings) {
    embed(share, chunk, lane.input, lane.workspace.hidden());
    share.barrier();
    transformer_.run(share, chunk.sequences, chunk.new_known, lane.workspace);
    project(share, static_cast<int>(chunk.sequences.size()), lane,
            embeddings.row(chunk.first_sequence).data());
    share.barrier();
  }

  static int most_rows(const BatchPlan& plan) {
    int most = 0;
    for (const Chunk& chunk : plan.chunks) most = std::max(most, chunk.rows);
    return most;
  }

  /// Calls work(share, chunk, lane) on the team's threads.
  template <typename Work>
  void for_each_chunk(ThreadTeam& team, const BatchPlan& plan, const Work& work) {
    if (plan.chunks.empty()) return;
    reserve(plan.together ? 1 : team.size(), most_rows(plan), team.size());
    if (plan.together && team.size() > 1) {
      team.run([&](int rank) {
        for (const Chunk& chunk : plan.chunks)
          work(Share{rank, team.size(), &team}, chunk, lanes_[0]);
      });
      return;
    }
    std::atomic<std::size_t> next{0};
    team.run([&](int rank) {
      for (std::size_t i = next++; i < plan.chunks.size(); i = next++) {
        work(Share{}, plan.chunks[i], lanes_[static_cast<std::size_t>(rank)]);
      }
    });
  }

  /// threads: that work together in the first lane; in each other one works alone.
  void reserve(int lanes, int rows, int threads) {
    lanes_.resize(std::max(lanes_.size(), static_cast<std::size_t>(lanes)));
    for (int i = 0; i < lanes; ++i) {
      Lane& lane = lanes_[static_cast<std::size_t>(i)];
      if (lane.workspace.rows() >= rows) continue;
      lane = {};  // what is too small goes before what is large enough comes
      // All of it or nothing: there may be no memory in between.
      lane = make_lane(rows, i == 0 ? threads : 1);
    }
  }

  Lane make_lane(int rows, int ranks) const {
    auto owned = std::make_unique<HugePages>();
    HugePages* const pages = owned.get();
    Lane lane = {std::move(owned),
                 Workspace(kernels_, config_, rows, ranks, *pages),
                 {rows, width(), false, pages},
                 {}};
    if (input_columns_ == 0) return lane;
    if constexpr (std::is_same_v<InputRows, ProductRows<Value>>) {
      lane.input.rows = {rows, input_columns_, reads_tiles<Value>(kernels_), pages};
    } else {
      lane.input.rows = {kernels_, rows, input_columns_, pages};
    }
    lane.input.values =
        AlignedBuffer<Value>(static_cast<std::size_t>(ranks * input_columns_), pages);
    return lane;
  }

  /// embeddings: [rows, columns], contiguous.
  void project(const Share& share, int rows, Lane& lane, float* embeddings) const {
    const auto [begin, end] = share.of(rows);
    const auto hidden_row = [&](int row) {
      return lane.workspace.hidden() + static_cast<std::size_t>(row) * hidden_stride();
    };
    if (!projection_) {
      for (int row = begin; row < end; ++row) {
        std::copy_n(hidden_row(row), width(),
                    embeddings + static_cast<std::ptrdiff_t>(row) * width());
      }
      return;
    }
    for (int row = begin; row < end; ++row) {
      kernels_.layer_norm(
          hidden_row(row), projection_->norm.scale.data(), projection_->norm.shift.data(),
          static_cast<float>(config_.layer_norm_eps), width(), lane.pooled.at(row, 0));
    }
    share.barrier();
    const PackedLinear<float>& linear = projection_->linear;
    const auto outputs = static_cast<std::size_t>(linear.outputs());
    multiply_shared(
        kernels_, share, linear, lane.pooled, rows, 0, linear.panels(), nullptr,
        [&](int row, int count, int column, int columns, const float* sums, const float* bias) {
          kernels_.add_bias(sums, bias, count, columns,
                            embeddings + static_cast<std::size_t>(row) * outputs + column, outputs);
        });
  }

  const Kernels& kernels_;
  const TowerConfig config_;
  Transformer<Linear> transformer_;
  const std::optional<Projection> projection_;
  const int input_columns_;
  Teamwork teamwork_;
  std::vector<Lane> lanes_;  // what one group of threads that work together has for itself
};

}  // namespace vitrine::encoder::cpu
