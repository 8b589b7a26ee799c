#include "index/graph_builder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/compute_threads.h"
#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr int kThreads = 1;  // ThreadSanitizer cannot see how libgomp's threads synchronise
#else
constexpr int kThreads = 4;
#endif

Graph graph_of(const Matrix& vectors, int threads) {
  set_compute_threads_of_this_thread(threads);
  Graph graph(vectors.rows(), 8, 40);
  const VectorTable table = one_block(vectors.data(), vectors.rows(), vectors.cols());
  build_graph(graph, table, CodeTable(table), nullptr);
  set_compute_threads_of_this_thread(0);
  return graph;
}

std::size_t nodes_in_reach(const Graph& graph) {
  std::vector<bool> reached(graph.size(), false);
  std::vector<Graph::Node> nodes = {graph.entry_point()};
  reached[static_cast<std::size_t>(graph.entry_point())] = true;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    for (const Graph::Node link : graph.links(nodes[i], 0)) {
      if (link < 0) break;
      if (reached[static_cast<std::size_t>(link)]) continue;
      reached[static_cast<std::size_t>(link)] = true;
      nodes.push_back(link);
    }
  }
  return nodes.size();
}

TEST(GraphBuilder, ReachesEveryVectorHoweverManyThreadsLinkThem) {
  for (std::uint32_t seed = 1; seed <= 5; ++seed) {
    const Matrix vectors = clustered_vectors(3000, 32, seed);
    for (const int threads : {1, kThreads}) {
      EXPECT_EQ(nodes_in_reach(graph_of(vectors, threads)), vectors.rows())
          << seed << ' ' << threads;
    }
  }
}

TEST(GraphBuilder, LinksFewVectors) {
  for (const std::size_t count : {1, 2, 3, 257, 258}) {
    const Matrix vectors = clustered_vectors(count, 16, 1);
    EXPECT_EQ(nodes_in_reach(graph_of(vectors, kThreads)), count);
  }
}

TEST(GraphBuilder, LinksEveryNodeOnceFromAnother) {
  const Matrix vectors = clustered_vectors(2000, 24, 7);
  const Graph graph = graph_of(vectors, kThreads);
  for (Graph::Node node = 0; node < static_cast<Graph::Node>(graph.size()); ++node) {
    for (int level = 0; level <= graph.level_of(node); ++level) {
      const std::span<const Graph::Node> room = graph.links(node, level);
      std::vector<Graph::Node> links(room.begin(), room.end());
      std::erase(links, -1);
      std::sort(links.begin(), links.end());
      EXPECT_EQ(std::unique(links.begin(), links.end()), links.end()) << node;
      EXPECT_FALSE(std::binary_search(links.begin(), links.end(), node));
    }
  }
}

}  // namespace
}  // namespace vitrine::index
