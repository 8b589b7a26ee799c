#include "index/graph_builder.h"

#include <faiss/impl/HNSW.h>
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

faiss::HNSW graph_of(const Matrix& vectors, int threads) {
  set_compute_threads_of_this_thread(threads);
  faiss::HNSW graph(8);
  graph.efConstruction = 40;
  graph.prepare_level_tab(vectors.rows());
  const VectorTable table = one_block(vectors.data(), vectors.rows(), vectors.cols());
  build_graph(graph, table, CodeTable(table), nullptr);
  set_compute_threads_of_this_thread(0);
  return graph;
}

std::size_t nodes_in_reach(const faiss::HNSW& graph) {
  std::vector<bool> reached(graph.levels.size(), false);
  std::vector<faiss::HNSW::storage_idx_t> nodes = {graph.entry_point};
  reached[static_cast<std::size_t>(graph.entry_point)] = true;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    std::size_t begin = 0;
    std::size_t end = 0;
    graph.neighbor_range(nodes[i], 0, &begin, &end);
    for (; begin < end && graph.neighbors[begin] >= 0; ++begin) {
      const auto link = static_cast<std::size_t>(graph.neighbors[begin]);
      if (reached[link]) continue;
      reached[link] = true;
      nodes.push_back(graph.neighbors[begin]);
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
  const faiss::HNSW graph = graph_of(vectors, kThreads);
  for (std::size_t node = 0; node < vectors.rows(); ++node) {
    for (int level = 0; level < graph.levels[node]; ++level) {
      std::size_t begin = 0;
      std::size_t end = 0;
      graph.neighbor_range(static_cast<std::int64_t>(node), level, &begin, &end);
      std::vector<faiss::HNSW::storage_idx_t> links(
          graph.neighbors.begin() + static_cast<std::ptrdiff_t>(begin),
          graph.neighbors.begin() + static_cast<std::ptrdiff_t>(end));
      std::erase(links, -1);
      std::sort(links.begin(), links.end());
      EXPECT_EQ(std::unique(links.begin(), links.end()), links.end()) << node;
      EXPECT_FALSE(std::binary_search(links.begin(), links.end(),
                                      static_cast<faiss::HNSW::storage_idx_t>(node)));
    }
  }
}

}  // namespace
}  // namespace vitrine::index
