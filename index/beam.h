#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "index/top_k.h"

namespace vitrine::index {

/// What a walk through a graph keeps: the best nodes it has met, and which of them it has yet to go
/// on from. It may keep more than it goes on from: scores that err a little then lose no hit.
/// A sorted array: a beam is narrow, and few nodes get into it.
class Beam {
 public:
  /// width: at least 1. Goes on from as many as it keeps.
  explicit Beam(std::size_t width) { set_widths(width, width); }

  void clear() {
    size_ = 0;
    next_ = 0;
  }

  /// Empties it as well. walked: nodes to go on from, the best; at least 1. kept: no fewer.
  void set_widths(std::size_t walked, std::size_t kept) {
    clear();
    walked_ = walked;
    kept_ = kept;
    if (keys_.size() <= kept) keys_.resize(kept + 1);
  }

  std::size_t size() const { return size_; }
  /// The i-th best.
  Hit operator[](std::size_t i) const { return {score_of(keys_[i]), node_of(keys_[i])}; }

  /// What a node must score at least to get in.
  float worst() const {
    return size_ < kept_ ? -std::numeric_limits<float>::infinity() : score_of(keys_[kept_ - 1]);
  }

  /// Says whether the node, which was not offered before, got in. hit: its row fits 31 bits, its
  /// score is a number.
  bool offer(const Hit& hit) {
    const std::uint64_t key = key_of(hit);
    std::uint64_t* keys = keys_.data();
    if (size_ == kept_) {
      if (key < keys[kept_ - 1]) return false;
      --size_;
    }
    const std::size_t at = make_room(key);
    keys[at] = key;
    ++size_;
    next_ = std::min(next_, at);
    return true;
  }

  /// The best node to go on from that was not returned before.
  std::optional<Hit> next() {
    for (const std::size_t end = std::min(walked_, size_); next_ < end; ++next_) {
      if ((keys_[next_] & kOpen) == 0) continue;
      keys_[next_] &= ~kOpen;
      return (*this)[next_++];
    }
    return std::nullopt;
  }

 private:
  // A node in one number, which is the larger the better the node is: its score, in the order of
  // unsigned numbers, how far the node is from the largest one, and whether it is to be gone on
  // from.
  static constexpr std::uint64_t kOpen = 1;
  static constexpr std::uint32_t kSign = 0x80000000;
  static constexpr std::uint32_t kLargestNode = 0x7fffffff;

  static std::uint64_t key_of(const Hit& hit) {
    const auto bits = std::bit_cast<std::uint32_t>(hit.score + 0.0F);  // -0 is 0
    const std::uint32_t ordered = (bits & kSign) != 0 ? ~bits : bits | kSign;
    const std::uint32_t distance = kLargestNode - static_cast<std::uint32_t>(hit.row);
    return std::uint64_t{ordered} << 32 | std::uint64_t{distance} << 1 | kOpen;
  }
  static float score_of(std::uint64_t key) {
    const auto ordered = static_cast<std::uint32_t>(key >> 32);
    return std::bit_cast<float>((ordered & kSign) != 0 ? ordered & ~kSign : ~ordered);
  }
  static std::int64_t node_of(std::uint64_t key) {
    return kLargestNode - static_cast<std::uint32_t>(key) / 2;
  }

  /// Moves what is worse than the key by one; says where there is room then.
  std::size_t make_room(std::uint64_t key) {
    std::uint64_t* keys = keys_.data();
    if (size_ <= kFew) {
      std::size_t at = size_;
      for (; at > 0 && keys[at - 1] < key; --at) keys[at] = keys[at - 1];
      return at;
    }
    // By halves, without a branch: where a node gets in cannot be foretold.
    std::size_t at = 0;
    for (std::size_t step = std::bit_floor(size_); step > 0; step /= 2) {
      const std::size_t next = at + step;
      at = next <= size_ && keys[next - 1] > key ? next : at;
    }
    std::copy_backward(keys + at, keys + size_, keys + size_ + 1);
    return at;
  }

  /// So many are passed one by one in less time than halving takes.
  static constexpr std::size_t kFew = 24;

  std::size_t walked_ = 1;
  std::size_t kept_ = 1;
  std::size_t size_ = 0;
  std::size_t next_ = 0;             // no node before it is open
  std::vector<std::uint64_t> keys_;  // [size_] of them count, best first
};

}  // namespace vitrine::index
