#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "index/hit_key.h"
#include "index/kernels/hit_keys.h"
#include "index/kernels/sorted_keys.h"
#include "index/top_k.h"

namespace vitrine::index {

/// What a walk through a graph keeps: the best nodes it has met, and which of them it has yet to go
/// on from. It may keep more than it goes on from: scores that err a little then lose no hit.
/// A sorted array: few nodes get into it.
class Beam {
 public:
  /// width: at least 1. Goes on from as many as it keeps.
  explicit Beam(std::size_t width) { set_widths(width, width); }

  void clear() {
    size_ = 0;
    next_ = 0;
    std::fill_n(keys_.begin(), room_, HitKey::kNone);  // which are not open
  }

  /// Empties it as well. walked: nodes to go on from, the best; at least 1. kept: no fewer.
  void set_widths(std::size_t walked, std::size_t kept) {
    walked_ = walked;
    kept_ = kept;
    room_ = (kept + kSortedKeysBlock - 1) / kSortedKeysBlock * kSortedKeysBlock;
    // One more, for what a key pushes out.
    if (keys_.size() <= room_) keys_.resize(room_ + 1);
    clear();
  }

  std::size_t size() const { return size_; }
  /// The i-th best.
  Hit operator[](std::size_t i) const { return HitKey::hit(keys_[i]); }
  std::int32_t row(std::size_t i) const { return static_cast<std::int32_t>(HitKey::row(keys_[i])); }

  /// What a node must score at least to get in.
  float worst() const {
    return size_ < kept_ ? -std::numeric_limits<float>::infinity()
                         : HitKey::score(keys_[kept_ - 1]);
  }

  /// Nodes that were not offered before. scores: [count], numbers. rows: [count], not negative.
  /// What follows them up to a multiple of kHitKeysBlock is read and means nothing.
  void offer(const float* scores, const std::int32_t* rows, std::size_t count) {
    alignas(32) std::int64_t keys[kAtATime];
    for (std::size_t first = 0; first < count; first += kAtATime) {
      const std::size_t some = hit_keys_kernel().of(
          scores + first, rows + first, std::min(kAtATime, count - first), worst(), kOpen, keys);
      if (is_narrow()) {
        sorted_keys_kernel().insert(keys_.data(), room_, keys, some);
        size_ = std::min(kept_, size_ + some);
      } else {
        for (const std::int64_t key : std::span(keys, some)) offer_to_many(key);
      }
    }
  }
  void offer(const Hit& hit) {
    const float scores[kHitKeysBlock] = {hit.score};
    const std::int32_t rows[kHitKeysBlock] = {static_cast<std::int32_t>(hit.row)};
    offer(scores, rows, 1);
  }

  /// The best nodes to go on from that were not returned before, best first: as many as there are
  /// and as nodes have room for. Says how many.
  std::size_t next(std::span<Hit> nodes) {
    std::size_t count = 0;
    if (!is_narrow()) {
      for (const std::size_t end = std::min(walked_, size_); next_ < end && count < nodes.size();
           ++next_) {
        if ((keys_[next_] & kOpen) != 0) nodes[count++] = take(next_);
      }
      return count;
    }
    for (std::uint64_t open = open_places(); open != 0 && count < nodes.size(); open &= open - 1) {
      nodes[count++] = take(static_cast<std::size_t>(std::countr_zero(open)));
    }
    return count;
  }

  /// Calls visit with the rows of a few nodes that next() is likely to return soon.
  template <class Visit>
  void for_likely(Visit visit) const {
    if (!is_narrow()) {
      const std::size_t end = std::min({next_ + kLikely, walked_, size_});
      for (std::size_t i = next_; i < end; ++i) visit(HitKey::row(keys_[i]));
      return;
    }
    std::uint64_t open = open_places();
    for (std::size_t i = 0; i < kLikely && open != 0; ++i, open &= open - 1) {
      visit(HitKey::row(keys_[static_cast<std::size_t>(std::countr_zero(open))]));
    }
  }

 private:
  // A node is a HitKey; the lowest bit says whether it is to be gone on from.
  static constexpr std::int64_t kOpen = 1;

  static constexpr std::size_t kAtATime = 32;
  static constexpr std::size_t kLikely = 6;
  static constexpr std::size_t kMostOpen = 64;

  /// Whether kernels do the work.
  bool is_narrow() const { return room_ <= kMostSortedKeys && walked_ <= kMostOpen; }

  /// Bit i: whether to go on from the i-th best. Of a narrow one.
  std::uint64_t open_places() const {
    const std::size_t places = std::min(kMostOpen, room_);
    return sorted_keys_kernel().odd(keys_.data(), places) & (~std::uint64_t{0} >> (64 - walked_));
  }

  Hit take(std::size_t at) {
    keys_[at] &= ~kOpen;
    return (*this)[at];
  }

  void offer_to_many(std::int64_t key) {
    std::int64_t* keys = keys_.data();
    if (size_ == kept_) {
      if (key < keys[kept_ - 1]) return;
      --size_;
    }
    // By halves, without a branch: where a node gets in cannot be foretold.
    std::size_t at = 0;
    for (std::size_t step = std::bit_floor(size_); step > 0; step /= 2) {
      const std::size_t next = at + step;
      at = next <= size_ && keys[next - 1] > key ? next : at;
    }
    std::copy_backward(keys + at, keys + size_, keys + size_ + 1);
    keys[at] = key;
    ++size_;
    next_ = std::min(next_, at);
  }

  std::size_t walked_ = 1;
  std::size_t kept_ = 1;
  std::size_t room_ = 0;  // kept_ or a few more, a multiple of kSortedKeysBlock
  std::size_t size_ = 0;
  std::size_t next_ = 0;            // of a wide one: no node before it is open
  std::vector<std::int64_t> keys_;  // best first: [size_] of them count
};

}  // namespace vitrine::index
