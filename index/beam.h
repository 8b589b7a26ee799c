#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "index/top_k.h"

namespace vitrine::index {

/// What a walk through a graph keeps: the best nodes it has met, up to a width, and which of them
/// it has yet to go on from. A sorted array: a beam is narrow, and few nodes get into it.
class Beam {
 public:
  /// width: at least 1.
  explicit Beam(std::size_t width) : width_(width) { nodes_.reserve(width + 1); }

  void clear() {
    nodes_.clear();
    next_ = 0;
  }

  /// Empties it as well.
  void set_width(std::size_t width) {
    clear();
    width_ = width;
    nodes_.reserve(width + 1);
  }

  std::size_t size() const { return nodes_.size(); }
  /// The i-th best.
  Hit operator[](std::size_t i) const { return {nodes_[i].score, nodes_[i].node}; }

  /// What a node must score at least to get in.
  float worst() const {
    return nodes_.size() < width_ ? -std::numeric_limits<float>::infinity() : nodes_.back().score;
  }

  /// Says whether the node, which was not offered before, got in.
  bool offer(const Hit& hit) {
    const bool full = nodes_.size() == width_;
    if (full && !better(hit, (*this)[width_ - 1])) return false;
    if (full) nodes_.pop_back();
    std::size_t at = nodes_.size();
    nodes_.push_back({hit.score, static_cast<std::int32_t>(hit.row), true});
    for (; at > 0 && better(hit, (*this)[at - 1]); --at) nodes_[at] = nodes_[at - 1];
    nodes_[at] = {hit.score, static_cast<std::int32_t>(hit.row), true};
    next_ = std::min(next_, at);
    return true;
  }

  /// The best node to go on from that was not returned before.
  std::optional<Hit> next() {
    for (; next_ < nodes_.size(); ++next_) {
      if (!nodes_[next_].open) continue;
      nodes_[next_].open = false;
      return (*this)[next_++];
    }
    return std::nullopt;
  }

  /// What next() would return.
  std::optional<Hit> peek() const {
    for (std::size_t i = next_; i < nodes_.size(); ++i) {
      if (nodes_[i].open) return (*this)[i];
    }
    return std::nullopt;
  }

 private:
  struct Entry {
    float score;
    std::int32_t node;
    bool open;  // to be gone on from
  };

  std::size_t width_;
  std::vector<Entry> nodes_;  // best first
  std::size_t next_ = 0;      // no node before it is open
};

}  // namespace vitrine::index
