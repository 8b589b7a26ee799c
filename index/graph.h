#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "index/large_array.h"

namespace faiss {
struct HNSW;
}

namespace vitrine::index {

/// The links of an HNSW graph: node i is vector i, on the lowest level 0 and some levels above it.
///
/// FAISS keeps the links of all levels of a node together, and a table of where each node's begin:
/// two accesses to memory for each node a walk goes through. Nearly all of them are on the lowest
/// level, whose links lie here at a fixed width, on huge pages.
/// While nobody sets links, any thread may read.
class Graph {
 public:
  using Node = std::int32_t;

  /// A graph without links, its levels drawn by lot. nodes: at least 1. links: of a node on a level
  /// above the lowest, where it is twice as many; at least 2.
  Graph(std::size_t nodes, int links, int ef_construction);
  /// Copies what FAISS writes of a graph (write_HNSW of faiss/impl/index_write.cpp), at any
  /// address, on the OpenMP threads of the calling thread. Throws Corruption unless the bytes are
  /// those of such a graph, and every number in it leads to a node that is there: a walk relies on
  /// it.
  Graph(std::string_view bytes, std::size_t nodes);
  ~Graph();
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;

  /// Hands what FAISS writes of the graph to write, piece by piece.
  void write_to(const std::function<void(std::string_view)>& write) const;

  std::size_t size() const { return levels_.size(); }
  std::size_t heap_bytes() const {
    return levels_.size_bytes() + begins_.size_bytes() +
           (lowest_.size() + upper_.size()) * sizeof(Node);
  }
  /// Nodes a builder chooses the links of one from.
  int ef_construction() const;
  /// Where a search starts: a node that is on top_level().
  Node entry_point() const { return entry_point_; }
  int top_level() const { return top_level_; }
  void set_entry_point(Node node);
  /// The highest level that the node is on.
  int level_of(Node node) const { return levels_[static_cast<std::size_t>(node)] - 1; }

  /// Room for links of a node on a level.
  std::size_t room(int level) const {
    const auto at = static_cast<std::size_t>(level);
    return static_cast<std::size_t>(ends_[at + 1] - ends_[at]);
  }
  /// Of any level.
  std::size_t most_room() const;

  /// The node's links on a level that it is on: [room(level)], links first, then -1.
  std::span<const Node> links(Node node, int level) const {
    return {first_link(node, level), room(level)};
  }
  std::span<Node> links(Node node, int level) {
    return {const_cast<Node*>(first_link(node, level)), room(level)};
  }

  /// Makes the links on the lowest level likely to be near the CPU soon.
  void prefetch(Node node) const {
    const Node* links = first_link(node, 0);
    for (std::size_t i = 0; i < lowest_room_; i += 16) __builtin_prefetch(links + i);
  }

 private:
  /// Takes all of a graph but its links, and makes room for them.
  explicit Graph(std::unique_ptr<faiss::HNSW> rest);
  /// Copies a node's links on all its levels, at any address. Throws Corruption.
  void take_links(Node node, const char* from);

  const Node* first_link(Node node, int level) const {
    const auto at = static_cast<std::size_t>(node);
    if (level == 0) return lowest_.data() + at * lowest_room_;
    // FAISS's numbers count the links of the lowest level in, which lie elsewhere.
    return upper_.data() + (begins_[at] - at * lowest_room_) +
           (static_cast<std::size_t>(ends_[static_cast<std::size_t>(level)]) - lowest_room_);
  }

  std::unique_ptr<faiss::HNSW> rest_;    // all but the links
  std::span<const int> levels_;          // [size()] of rest_: levels that a node is on
  std::span<const std::size_t> begins_;  // [size() + 1] of rest_
  std::span<const int> ends_;            // of rest_: links of one node on all levels below
  Node entry_point_ = -1;
  int top_level_ = -1;
  std::size_t lowest_room_ = 0;
  LargeArray<Node> lowest_;  // [size(), lowest_room_]
  std::vector<Node> upper_;  // of the levels above, node after node, level after level
};

}  // namespace vitrine::index
