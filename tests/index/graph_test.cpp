#include "index/graph.h"

#include <faiss/IndexHNSW.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

constexpr std::size_t kNodes = 300;

/// Links each node on each of its levels to the next one that is on it.
faiss::HNSW linked() {
  faiss::HNSW graph(4);
  graph.prepare_level_tab(kNodes);
  for (std::size_t node = 0; node < kNodes; ++node) {
    if (graph.levels[node] - 1 > graph.max_level || graph.entry_point < 0) {
      graph.entry_point = static_cast<Graph::Node>(node);
      graph.max_level = graph.levels[node] - 1;
    }
    for (int level = 0; level < graph.levels[node]; ++level) {
      std::size_t next = (node + 1) % kNodes;
      while (graph.levels[next] <= level) next = (next + 1) % kNodes;
      std::size_t begin = 0;
      std::size_t end = 0;
      graph.neighbor_range(static_cast<std::int64_t>(node), level, &begin, &end);
      graph.neighbors[begin] = static_cast<Graph::Node>(next);
    }
  }
  return graph;
}

/// As FAISS writes it, at an odd address: a byte goes before it.
std::string written(faiss::HNSW graph) {
  faiss::IndexHNSWFlat index(4, 4, faiss::METRIC_INNER_PRODUCT);
  index.hnsw = std::move(graph);
  faiss::VectorIOWriter writer;
  faiss::write_index(&index, &writer);
  constexpr std::size_t kHeaderBytes = 37;
  constexpr std::size_t kStorageBytes = 45;
  return "x" + std::string(writer.data.begin() + kHeaderBytes, writer.data.end() - kStorageBytes);
}

Graph read(const std::string& bytes, std::size_t nodes = kNodes) {
  return Graph(std::string_view(bytes).substr(1), nodes);
}

TEST(Graph, HasTheLinksThatFaissHas) {
  const faiss::HNSW faiss_graph = linked();
  const Graph graph = read(written(linked()));
  ASSERT_EQ(graph.size(), kNodes);
  EXPECT_EQ(graph.entry_point(), faiss_graph.entry_point);
  EXPECT_EQ(graph.top_level(), faiss_graph.max_level);
  ASSERT_GT(graph.top_level(), 0);
  EXPECT_EQ(graph.most_room(), 8U);
  for (Graph::Node node = 0; node < static_cast<Graph::Node>(kNodes); ++node) {
    EXPECT_EQ(graph.level_of(node), faiss_graph.levels[static_cast<std::size_t>(node)] - 1);
    for (int level = 0; level <= graph.level_of(node); ++level) {
      std::size_t begin = 0;
      std::size_t end = 0;
      faiss_graph.neighbor_range(node, level, &begin, &end);
      ASSERT_EQ(graph.links(node, level).size(), end - begin);
      for (const Graph::Node link : graph.links(node, level)) {
        EXPECT_EQ(link, faiss_graph.neighbors[begin++]) << node << ' ' << level;
      }
    }
  }
}

TEST(Graph, GivesBackWhatItTook) {
  const std::string taken = written(linked());
  std::string given = "x";
  read(taken).write_to([&](std::string_view bytes) { given += bytes; });
  EXPECT_EQ(given, taken);
}

TEST(Graph, BeginsWithoutLinks) {
  Graph graph(kNodes, 4, 40);
  EXPECT_EQ(graph.ef_construction(), 40);
  EXPECT_EQ(graph.room(0), 8U);
  EXPECT_EQ(graph.room(1), 4U);
  for (Graph::Node node = 0; node < static_cast<Graph::Node>(kNodes); ++node) {
    for (int level = 0; level <= graph.level_of(node); ++level) {
      for (const Graph::Node link : graph.links(node, level)) EXPECT_EQ(link, -1);
      graph.links(node, level)[0] = node;
    }
  }
  // No two nodes or levels share room.
  for (Graph::Node node = 0; node < static_cast<Graph::Node>(kNodes); ++node) {
    for (int level = 0; level <= graph.level_of(node); ++level) {
      EXPECT_EQ(graph.links(node, level)[0], node) << level;
      EXPECT_EQ(graph.links(node, level)[1], -1) << level;
    }
  }
}

TEST(Graph, RefusesWhatLeadsNowhere) {
  const std::vector<std::function<void(faiss::HNSW&)>> faults = {
      [](faiss::HNSW& graph) { graph.neighbors[0] = kNodes; },
      [](faiss::HNSW& graph) { graph.neighbors[0] = -2; },
      [](faiss::HNSW& graph) { graph.entry_point = kNodes; },
      [](faiss::HNSW& graph) { graph.entry_point = -1; },
      [](faiss::HNSW& graph) { ++graph.max_level; },
      [](faiss::HNSW& graph) { graph.levels[7] = 0; },
      [](faiss::HNSW& graph) { graph.levels[7] = 99; },
      [](faiss::HNSW& graph) { ++graph.offsets[7]; },
      [](faiss::HNSW& graph) { graph.offsets.pop_back(); },
      [](faiss::HNSW& graph) { graph.levels.pop_back(); },
      [](faiss::HNSW& graph) { graph.cum_nneighbor_per_level.clear(); },
      [](faiss::HNSW& graph) { graph.cum_nneighbor_per_level = {0}; },
      [](faiss::HNSW& graph) { graph.cum_nneighbor_per_level[1] = 0; },
      [](faiss::HNSW& graph) { graph.neighbors.resize(graph.neighbors.size() - 1); },
      [](faiss::HNSW& graph) {
        // A node of the lowest level alone, on the one above.
        std::size_t node = 0;
        while (graph.levels[node] > 1) ++node;
        std::size_t begin = 0;
        std::size_t end = 0;
        graph.neighbor_range(graph.entry_point, 1, &begin, &end);
        graph.neighbors[begin] = static_cast<Graph::Node>(node);
      },
  };
  for (std::size_t i = 0; i < faults.size(); ++i) {
    faiss::HNSW graph = linked();
    faults[i](graph);
    try {
      const Graph taken = read(written(std::move(graph)));
      ADD_FAILURE() << "fault " << i << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorruption) << i;
    }
  }
  EXPECT_THROW(read(written(linked()), kNodes + 1), Error);
}

TEST(Graph, RefusesWhatIsCutOffOrTooLong) {
  const std::string whole = written(linked());
  for (std::size_t size = 1; size < whole.size(); size += size < 300 ? 1 : 97) {
    expect_error(ErrorCode::kCorruption, "", [&] { read(whole.substr(0, size)); });
  }
  expect_error(ErrorCode::kCorruption, "its graph", [&] { read(whole + '\0'); });
  // Counts of more than there is.
  std::string forged = whole;
  for (const std::uint64_t count : {~std::uint64_t{0}, std::uint64_t{1} << 61}) {
    std::memcpy(forged.data() + 1, &count, sizeof(count));
    expect_error(ErrorCode::kCorruption, "cut off", [&] { read(forged); });
  }
}

}  // namespace
}  // namespace vitrine::index
