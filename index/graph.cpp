#include "index/graph.h"

#include <faiss/impl/HNSW.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "index/byte_cursor.h"
#include "index/parallel.h"

namespace vitrine::index {
namespace {

constexpr std::size_t kNodesATask = 4096;
/// A link is copied and looked at in about so many multiply-adds.
constexpr std::size_t kWorkALink = 4;
/// A field that FAISS makes nothing of and writes all the same.
constexpr std::int32_t kUpperBeam = 1;

[[noreturn]] void fail() { throw corruption("its graph leads to nodes that do not exist"); }

/// Whether what says where links lie fits so many nodes and links.
void check_places(const faiss::HNSW& graph, std::size_t nodes, std::size_t links) {
  const auto& per_level = graph.cum_nneighbor_per_level;
  if (nodes == 0 || graph.levels.size() != nodes || graph.offsets.size() != nodes + 1 ||
      per_level.size() < 2 || per_level.front() != 0 ||
      !std::is_sorted(per_level.begin(), per_level.end()) || graph.offsets.front() != 0 ||
      graph.offsets.back() != links) {
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
  if (graph.entry_point < 0 || static_cast<std::size_t>(graph.entry_point) >= nodes ||
      graph.levels[static_cast<std::size_t>(graph.entry_point)] != graph.max_level + 1) {
    fail();
  }
}

}  // namespace

Graph::Graph(std::unique_ptr<faiss::HNSW> rest)
    : rest_(std::move(rest)),
      levels_(rest_->levels),
      begins_(rest_->offsets),
      ends_(rest_->cum_nneighbor_per_level),
      entry_point_(rest_->entry_point),
      top_level_(rest_->max_level),
      lowest_room_(room(0)),
      lowest_(levels_.size() * lowest_room_),
      upper_(begins_.back() - lowest_.size()) {}

Graph::Graph(std::size_t nodes, int links, int ef_construction)
    : Graph([&] {
        auto graph = std::make_unique<faiss::HNSW>(links);
        graph->efConstruction = ef_construction;
        graph->prepare_level_tab(nodes);
        graph->neighbors = decltype(graph->neighbors)();  // given back, which {} would not do
        return graph;
      }()) {
  std::fill_n(lowest_.data(), lowest_.size(), -1);
  std::fill(upper_.begin(), upper_.end(), -1);
}

Graph::Graph(std::string_view bytes, std::size_t nodes) {
  ByteCursor from(bytes);
  auto rest = std::make_unique<faiss::HNSW>();
  from.read(rest->assign_probas);
  from.read(rest->cum_nneighbor_per_level);
  from.read(rest->levels);
  from.read(rest->offsets);
  const std::string_view links = from.array<Node>();
  rest->entry_point = from.number<Node>();
  rest->max_level = from.number<std::int32_t>();
  rest->efConstruction = from.number<std::int32_t>();
  rest->efSearch = from.number<std::int32_t>();
  from.number<std::int32_t>();  // kUpperBeam
  if (!from.empty()) fail();
  check_places(*rest, nodes, links.size() / sizeof(Node));
  *this = Graph(std::move(rest));

  const std::size_t link_count = links.size() / sizeof(Node);
  parallel_for((nodes + kNodesATask - 1) / kNodesATask, threads_for(link_count * kWorkALink),
               [&](std::size_t task) {
                 const std::size_t end = std::min(nodes, (task + 1) * kNodesATask);
                 for (std::size_t node = task * kNodesATask; node < end; ++node) {
                   take_links(static_cast<Node>(node), links.data() + begins_[node] * sizeof(Node));
                 }
               });
}

Graph::~Graph() = default;
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;

void Graph::take_links(Node node, const char* from) {
  for (int level = 0; level <= level_of(node); ++level) {
    const std::span<Node> own = links(node, level);
    std::memcpy(own.data(), from, own.size_bytes());
    from += own.size_bytes();
    // Without a branch for each: as unsigned ones, negative numbers are not below any size.
    const auto nodes = static_cast<std::uint32_t>(size());
    bool sound = true;
    for (const Node link : own) {
      sound &= link == -1 || static_cast<std::uint32_t>(link) < nodes;
    }
    if (!sound) fail();
    if (level == 0) continue;  // which all nodes are on
    for (const Node link : own) {
      if (link != -1 && level_of(link) < level) fail();
    }
  }
}

void Graph::write_to(const std::function<void(std::string_view)>& write) const {
  const auto write_all = [&](const auto& numbers) {
    write({reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(numbers[0])});
  };
  const auto write_array = [&](const auto& numbers) {
    write_all(std::array{std::uint64_t{numbers.size()}});
    write_all(numbers);
  };
  write_array(rest_->assign_probas);
  write_array(rest_->cum_nneighbor_per_level);
  write_array(rest_->levels);
  write_array(rest_->offsets);
  write_all(std::array{std::uint64_t{lowest_.size() + upper_.size()}});
  for (std::size_t node = 0; node < size(); ++node) {
    for (int level = 0; level < levels_[node]; ++level) {
      write_all(links(static_cast<Node>(node), level));
    }
  }
  write_all(
      std::array{entry_point_, top_level_, rest_->efConstruction, rest_->efSearch, kUpperBeam});
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
