#include "engine/delta.h"

#include <algorithm>
#include <utility>

#include "index/block_scan.h"
#include "index/vector_table.h"

namespace vitrine::engine {

Delta::Block::Block(std::size_t dimension)
    : images(kBlockRows, dimension), captions(kBlockRows, dimension), products(kBlockRows) {}

Delta::Codes::Codes(const Block& block, std::size_t first, std::size_t count)
    : images(index::one_block(block.images.row(first).data(), count, block.images.cols()),
             index::CodeTable::Leading::kNone),
      captions(index::one_block(block.captions.row(first).data(), count, block.captions.cols()),
               index::CodeTable::Leading::kNone) {}

Delta::Delta(std::size_t base_rows, std::size_t dimension, std::uint64_t sequence)
    : base_rows_(base_rows), dimension_(dimension), sequence_(sequence) {}

std::size_t Delta::shard_of(std::string_view id) {
  return std::hash<std::string_view>()(id) % kShards;
}

std::optional<std::size_t> Delta::find(std::string_view id) const {
  const auto& shard = shards_[shard_of(id)];
  if (!shard) return std::nullopt;
  const auto found = shard->find(id);
  if (found == shard->end()) return std::nullopt;
  return found->second;
}

const storage::Product& Delta::product(std::size_t row) const {
  return blocks_[row / kBlockRows]->products[row % kBlockRows];
}

std::span<const float> Delta::vector(Target target, std::size_t row) const {
  const Block& block = *blocks_[row / kBlockRows];
  return (target == Target::kImage ? std::as_const(block.images) : std::as_const(block.captions))
      .row(row % kBlockRows);
}

index::RowSet Delta::rows_that(const std::function<bool(const storage::Product&)>& matches) const {
  index::RowSet matching(rows_);
  alive_.for_each(0, rows_, [&](std::size_t row) {
    if (matches(product(row))) matching.insert(row);
  });
  return matching;
}

index::SearchResult Delta::search(Target target, MatrixView queries, std::size_t k,
                                  const index::RowSet* allowed,
                                  std::span<const float> at_least) const {
  std::vector<index::VectorBlock> blocks;
  blocks.reserve(codes_.size() + part_codes_.size() + 1);
  std::size_t first = 0;
  const auto add = [&](std::size_t count, const Codes* codes) {
    const index::CodeTable* table = nullptr;
    if (codes != nullptr) table = target == Target::kImage ? &codes->images : &codes->captions;
    blocks.push_back({vector(target, first).data(), count, table});
    first += count;
  };
  for (const auto& codes : codes_) add(kBlockRows, codes.get());
  for (const auto& codes : part_codes_) add(kPartRows, codes.get());
  if (first < rows_) add(rows_ - first, nullptr);
  if (allowed == nullptr) return index::scan_blocks(queries, blocks, alive_, k, at_least);
  index::RowSet live(rows_);
  allowed->for_each(0, rows_, [&](std::size_t row) {
    if (alive_.contains(row)) live.insert(row);
  });
  return index::scan_blocks(queries, blocks, live, k, at_least);
}

DeltaEdit::DeltaEdit(const Delta& from) : delta_(from) {}

Delta::Shard& DeltaEdit::own_shard(std::string_view id) {
  const std::size_t number = Delta::shard_of(id);
  if (!shards_[number]) {
    const auto& shared = delta_.shards_[number];
    shards_[number] =
        shared ? std::make_shared<Delta::Shard>(*shared) : std::make_shared<Delta::Shard>();
    delta_.shards_[number] = shards_[number];
  }
  return *shards_[number];
}

void DeltaEdit::apply(const storage::Update& update, std::optional<std::size_t> base_row) {
  delta_.sequence_ = update.sequence;
  if (!delta_.oldest_ms_) delta_.oldest_ms_ = update.time_ms;
  const std::string& id = update.product.id;
  if (base_row && (!delta_.live_base_ || delta_.live_base_->contains(*base_row))) {
    if (!live_base_) {
      live_base_ = std::make_shared<index::RowSet>(
          delta_.live_base_ ? *delta_.live_base_ : index::RowSet(delta_.base_rows_));
      if (!delta_.live_base_) live_base_->invert();
      delta_.live_base_ = live_base_;
    }
    live_base_->erase(*base_row);
    ++delta_.tombstones_;
  }
  if (const auto row = delta_.find(id)) {
    own_shard(id).erase(id);
    delta_.alive_.erase(*row);
    --delta_.live_rows_;
  }
  if (!update.deleted) append(update);
}

void DeltaEdit::append(const storage::Update& update) {
  const std::size_t row = delta_.rows_;
  const std::size_t place = row % Delta::kBlockRows;
  if (place == 0) {
    // Also where an edit that was never finished has begun this block.
    delta_.blocks_.resize(row / Delta::kBlockRows);
    delta_.blocks_.push_back(std::make_shared<Delta::Block>(delta_.dimension_));
    index::RowSet alive(delta_.blocks_.size() * Delta::kBlockRows);
    delta_.alive_.for_each(0, row, [&](std::size_t live) { alive.insert(live); });
    delta_.alive_ = std::move(alive);
  }
  Delta::Block& block = *delta_.blocks_.back();
  std::ranges::copy(update.image_embedding, block.images.row(place).begin());
  std::ranges::copy(update.caption_embedding, block.captions.row(place).begin());
  block.products[place] = update.product;
  own_shard(update.product.id).emplace(block.products[place].id, row);
  delta_.alive_.insert(row);
  ++delta_.rows_;
  ++delta_.live_rows_;
  encode_what_is_full();
}

void DeltaEdit::encode_what_is_full() {
  const Delta::Block& block = *delta_.blocks_.back();
  const std::size_t filled = delta_.rows_ % Delta::kBlockRows;  // 0: all of it
  if (filled == 0) {
    delta_.codes_.push_back(std::make_shared<const Delta::Codes>(block, 0, Delta::kBlockRows));
    delta_.part_codes_.clear();
  } else if (filled % Delta::kPartRows == 0) {
    delta_.part_codes_.push_back(
        std::make_shared<const Delta::Codes>(block, filled - Delta::kPartRows, Delta::kPartRows));
  }
}

}  // namespace vitrine::engine
