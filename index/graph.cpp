#include "index/graph.h"

#include <faiss/impl/HNSW.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace vitrine::index {
namespace {

void check(const faiss::HNSW& graph, std::size_t nodes) {
  const auto fail = [] { throw corruption("its graph leads to nodes that do not exist"); };
  const auto& per_level = graph.cum_nneighbor_per_level;
  if (nodes == 0 || graph.levels.size() != nodes || graph.offsets.size() != nodes + 1 ||
      per_level.size() < 2 || per_level.front() != 0 ||
      !std::is_sorted(per_level.begin(), per_level.end()) || graph.offsets.front() != 0 ||
      graph.offsets.back() != graph.neighbors.size()) {
    fail();
  }
  const int most_levels = static_cast<int>(per_level.size()) - 1;
  for (std::size_t node = 0; node < nodes; ++node) {
    const int levels = graph.levels[node];
    if (levels < 1 || levels > most_levels || graph.offsets[node] > graph.offsets[node + 1] ||
        graph.offsets[node + 1] - graph.offsets[node] !=
            static_cast<std::size_t>(per_level[static_cast<std::size_t>(levels)])) {
      fail();
    }
  }
  for (std::size_t node = 0; node < nodes; ++node) {
    for (int level = 0; level < graph.levels[node]; ++level) {
      const auto at = static_cast<std::size_t>(level);
      const std::size_t end = graph.offsets[node] + static_cast<std::size_t>(per_level[at + 1]);
      for (std::size_t i = graph.offsets[node] + static_cast<std::size_t>(per_level[at]); i < end;
           ++i) {
        const Graph::Node link = graph.neighbors[i];
        if (link == -1) continue;
        if (link < 0 || static_cast<std::size_t>(link) >= nodes ||
            graph.levels[static_cast<std::size_t>(link)] <= level) {
          fail();
        }
      }
    }
  }
  if (graph.entry_point < 0 || static_cast<std::size_t>(graph.entry_point) >= nodes ||
      graph.levels[static_cast<std::size_t>(graph.entry_point)] != graph.max_level + 1) {
    fail();
  }
}

}  // namespace

Graph::Graph(std::size_t nodes, int links, int ef_construction) {
  faiss::HNSW graph(links);
  graph.efConstruction = ef_construction;
  graph.prepare_level_tab(nodes);
  take(std::move(graph));
}

Graph::Graph(faiss::HNSW&& graph, std::size_t nodes) {
  check(graph, nodes);
  take(std::move(graph));
}

Graph::~Graph() = default;
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;

void Graph::take(faiss::HNSW&& graph) {
  const std::size_t nodes = graph.levels.size();
  lowest_room_ = static_cast<std::size_t>(graph.nb_neighbors(0));
  lowest_ = LargeArray<Node>(nodes * lowest_room_);
  upper_.reserve(graph.neighbors.size() - lowest_.size());
  const Node* links = graph.neighbors.data();
  for (std::size_t node = 0; node < nodes; ++node) {
    const Node* begin = links + graph.offsets[node];
    std::copy_n(begin, lowest_room_, lowest_.data() + node * lowest_room_);
    upper_.insert(upper_.end(), begin + lowest_room_, links + graph.offsets[node + 1]);
  }
  graph.neighbors = {};
  rest_ = std::make_unique<faiss::HNSW>(std::move(graph));
  levels_ = rest_->levels;
  begins_ = rest_->offsets;
  ends_ = rest_->cum_nneighbor_per_level;
  entry_point_ = rest_->entry_point;
  top_level_ = rest_->max_level;
}

void Graph::copy_to(faiss::HNSW& graph) const {
  graph = *rest_;
  graph.entry_point = entry_point_;
  graph.max_level = top_level_;
  graph.neighbors.resize(lowest_.size() + upper_.size());
  Node* out = graph.neighbors.data();
  const Node* upper = upper_.data();
  for (std::size_t node = 0; node < size(); ++node) {
    out = std::copy_n(lowest_.data() + node * lowest_room_, lowest_room_, out);
    const std::size_t above = begins_[node + 1] - begins_[node] - lowest_room_;
    out = std::copy_n(upper, above, out);
    upper += above;
  }
}

int Graph::ef_construction() const { return rest_->efConstruction; }

void Graph::set_entry_point(Node node) {
  entry_point_ = node;
  top_level_ = level_of(node);
}

std::size_t Graph::most_room() const {
  std::size_t most = 1;
  for (int level = 0; level <= top_level_; ++level) most = std::max(most, room(level));
  return most;
}

}  // namespace vitrine::index
