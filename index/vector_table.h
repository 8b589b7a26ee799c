#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace vitrine::index {

/// The float32 vectors of an index, by place: where a vector lies among all of them, counted from
/// 0. The place is the row, but for an ivf index, which keeps the vectors of one list together.
/// The vectors belong to someone else; in a mapped file they are not aligned, and only to be read
/// by a kernel or memcpy.
class VectorTable {
 public:
  VectorTable() = default;
  explicit VectorTable(std::size_t dimension) : dimension_(dimension) {}

  /// vectors: row-major [count, dimension()]; they take the next places.
  void add_block(const float* vectors, std::size_t count) {
    if (count == 0) return;
    blocks_.push_back({size_, vectors});
    size_ += count;
  }

  std::size_t dimension() const { return dimension_; }
  std::size_t size() const { return size_; }
  /// [dimension()]. place: below size(), not checked.
  const float* at(std::size_t place) const {
    const Block* block = &blocks_.front();
    if (blocks_.size() > 1) {
      block = &*std::prev(std::upper_bound(
          blocks_.begin(), blocks_.end(), place,
          [](std::size_t wanted, const Block& each) { return wanted < each.first_place; }));
    }
    return block->vectors + (place - block->first_place) * dimension_;
  }
  /// All vectors, one behind another; null where they are in more than one block.
  const float* contiguous() const { return blocks_.size() == 1 ? blocks_[0].vectors : nullptr; }
  /// The same as at(), and makes the vector likely to be near the CPU soon: of a long one the
  /// beginning, for the CPU itself fetches the rest.
  const float* prefetch(std::size_t place) const {
    constexpr std::size_t kLine = 16;  // elements
    constexpr std::size_t kMostFetched = 128;
    const float* vector = at(place);
    const std::size_t fetched = std::min(dimension_, kMostFetched);
    for (std::size_t i = 0; i < fetched; i += kLine) __builtin_prefetch(vector + i);
    return vector;
  }

 private:
  struct Block {
    std::size_t first_place;
    const float* vectors;
  };

  std::size_t dimension_ = 0;
  std::size_t size_ = 0;
  std::vector<Block> blocks_;  // by first_place
};

/// vectors: row-major [count, dimension].
inline VectorTable one_block(const float* vectors, std::size_t count, std::size_t dimension) {
  VectorTable table(dimension);
  table.add_block(vectors, count);
  return table;
}

}  // namespace vitrine::index
