#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/matrix.h"
#include "engine/target.h"
#include "index/codes.h"
#include "index/row_set.h"
#include "index/vector_index.h"
#include "storage/update.h"

namespace vitrine::engine {

/// What changed in a catalog since its generation was built: the vectors of new and replaced
/// products (the delta), and the rows of the generation that are deleted or replaced (the
/// tombstones). Immutable; a copy shares the vectors, and a newer version shares all but what it
/// changed. Every method may be called from many threads at once.
///
/// Rows of the delta count from 0 in the order of the updates. A row that is replaced or deleted
/// stays, dead, until a merge leaves it behind.
class Delta {
 public:
  /// No change. sequence: of the last update that the generation covers.
  Delta(std::size_t base_rows, std::size_t dimension, std::uint64_t sequence);

  /// Dead ones included.
  std::size_t rows() const { return rows_; }
  std::size_t live_rows() const { return live_rows_; }
  /// Rows of the generation that are deleted or replaced.
  std::size_t tombstones() const { return tombstones_; }
  /// The rows of the generation that are neither; null: all of them.
  const index::RowSet* live_base() const { return live_base_.get(); }
  bool is_live(std::size_t row) const { return alive_.contains(row); }
  /// The last update that was applied, or that the generation covers.
  std::uint64_t sequence() const { return sequence_; }
  /// When the oldest update was accepted that was applied, in ms since 1970; nothing without one.
  std::optional<std::int64_t> oldest_ms() const { return oldest_ms_; }

  /// The live row of a product.
  std::optional<std::size_t> find(std::string_view id) const;
  const storage::Product& product(std::size_t row) const;
  std::span<const float> vector(Target target, std::size_t row) const;

  /// Which live rows may be hits, for search().
  index::RowSet rows_that(const std::function<bool(const storage::Product&)>& matches) const;
  /// Exact: the k best live rows of each query, those in `allowed` when it is not null (its size is
  /// rows()). queries: [n, dimension], unit length. at_least: as in index::scan_blocks().
  index::SearchResult search(Target target, MatrixView queries, std::size_t k,
                             const index::RowSet* allowed, std::span<const float> at_least) const;

 private:
  friend class DeltaEdit;

  static constexpr std::size_t kBlockRows = 1024;
  /// As many rows of a block that is not full get codes together. A search reads fewer vectors the
  /// smaller it is, and goes through more tables of codes, each of which costs it half a
  /// microsecond.
  static constexpr std::size_t kPartRows = 128;
  static constexpr std::size_t kShards = 256;

  /// Filled from the front, each row once; who knows of a row only reads it.
  struct Block {
    explicit Block(std::size_t dimension);
    Matrix images;
    Matrix captions;
    std::vector<storage::Product> products;
  };
  /// Of rows [first, first + count) of a block, which are scanned by them.
  struct Codes {
    Codes(const Block& block, std::size_t first, std::size_t count);
    index::CodeTable images;
    index::CodeTable captions;
  };
  /// Rows by id. The ids are those in the blocks.
  using Shard = std::unordered_map<std::string_view, std::size_t>;

  static std::size_t shard_of(std::string_view id);

  std::size_t base_rows_;
  std::size_t dimension_;
  std::uint64_t sequence_;
  std::optional<std::int64_t> oldest_ms_;
  std::size_t rows_ = 0;
  std::size_t live_rows_ = 0;
  std::size_t tombstones_ = 0;
  std::vector<std::shared_ptr<Block>> blocks_;
  std::vector<std::shared_ptr<const Codes>> codes_;           // of the full blocks
  std::vector<std::shared_ptr<const Codes>> part_codes_;      // of the full parts of another one
  std::array<std::shared_ptr<const Shard>, kShards> shards_;  // null: empty
  index::RowSet alive_;                                       // [blocks * kBlockRows]
  std::shared_ptr<const index::RowSet> live_base_;            // null: all
};

/// Makes the next version of a Delta. Versions form one line: of all edits that begin with a
/// version, at most one's result may be searched, and two must not be at work at the same time. An
/// edit in which something was thrown is not finished.
class DeltaEdit {
 public:
  explicit DeltaEdit(const Delta& from);

  /// base_row: the product's row in the generation, when it has one, live or not. The embeddings
  /// of an upsert have the delta's dimension. Sequence numbers grow.
  void apply(const storage::Update& update, std::optional<std::size_t> base_row);
  /// Counts the update as applied although it changes nothing.
  void skip(std::uint64_t sequence) { delta_.sequence_ = sequence; }

  const Delta& now() const { return delta_; }
  /// The last call.
  Delta finish() { return std::move(delta_); }

 private:
  Delta::Shard& own_shard(std::string_view id);
  void append(const storage::Update& update);
  /// After a row was added.
  void encode_what_is_full();

  Delta delta_;
  // What of delta_ this edit has made itself and may therefore change.
  std::array<std::shared_ptr<Delta::Shard>, Delta::kShards> shards_;
  std::shared_ptr<index::RowSet> live_base_;
};

}  // namespace vitrine::engine
