// "hnsw": the vectors as nodes of a layered graph; a search walks from node to nearer node.

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>

#include <algorithm>
#include <queue>
#include <utility>

#include "base/error.h"
#include "index/checked_index.h"
#include "index/exact_search.h"
#include "index/graph_builder.h"
#include "index/kernels/code_dot.h"
#include "index/kernels/inner_product.h"
#include "index/kinds.h"
#include "index/large_array.h"
#include "index/parallel.h"
#include "index/visited_rows.h"

namespace vitrine::index {
namespace {

using Node = faiss::HNSW::storage_idx_t;  // 32 bits, a row

/// Hits re-scored in float32 for each one wanted: codes place a vector among the best, but not in
/// the right order.
constexpr std::size_t kRescoredAHit = 2;
constexpr std::size_t kRescoredAtLeast = 8;

/// Of candidates to walk on from, the best is on top.
struct WorseFirst {
  bool operator()(const Hit& a, const Hit& b) const { return better(b, a); }
};

class HnswIndex : public CheckedIndex {
 public:
  /// index: its storage is empty. owner: keeps the vectors and the codes where they are.
  HnswIndex(std::unique_ptr<faiss::IndexHNSWFlat> index, VectorTable vectors, CodeTable codes,
            std::shared_ptr<const void> owner)
      : index_(std::move(index)),
        vectors_(std::move(vectors)),
        codes_(std::move(codes)),
        owner_(std::move(owner)),
        visited_(vectors_.size()) {}

  std::string kind() const override { return std::string(kHnswKind.name); }

 protected:
  SearchTables tables() const override { return {&codes_, &vectors_}; }
  const faiss::Index& faiss_index() const override { return *index_; }

  SearchResult search_exact(MatrixView queries, std::size_t k,
                            const RowSet* allowed) const override {
    const PlaceRange all{0, size()};
    return search_exactly(tables(), queries, {&all, 1}, {allowed}, k);
  }

  SearchResult search_approximate(MatrixView queries, std::size_t k,
                                  const SearchOptions& options) const override {
    const std::size_t beam = std::max(k, static_cast<std::size_t>(options.ef_search));
    const auto links = static_cast<std::size_t>(index_->hnsw.nb_neighbors(0));
    const RowSet* allowed = options.allowed;
    const std::size_t rows = allowed == nullptr ? size() : allowed->count();
    // The walk meets rows / size() allowed nodes in each node it goes through, and compares each of
    // those with about half its links: the others were compared before.
    const double nodes =
        static_cast<double>(beam) * static_cast<double>(size()) / static_cast<double>(rows);
    const double walked = nodes * static_cast<double>(links) / 2;
    if (beam >= rows || (allowed != nullptr && walked >= static_cast<double>(rows))) {
      return search_exact(queries, k, allowed);
    }
    SearchResult result = make_result(queries.rows, k);
    parallel_for(queries.rows,
                 threads_for(queries.rows * static_cast<std::size_t>(walked) * dimension()),
                 [&](std::size_t query) {
                   put_hits(walk(queries.row(query).data(), beam, k, allowed, rows), query, result);
                 });
    return result;
  }

 private:
  /// At least k hits, best first; fewer where `rows`, the number of allowed ones, is less. The walk
  /// goes through every node, and stops when the `beam` best allowed ones are better than any node
  /// left to go on from: the rarer allowed rows are, the farther it goes. Where they lie far from
  /// the query it would go through most of the graph; after as many comparisons as there are
  /// allowed rows it gives up and compares those.
  std::vector<Hit> walk(const float* query, std::size_t beam, std::size_t k, const RowSet* allowed,
                        std::size_t rows) const {
    const faiss::HNSW& graph = index_->hnsw;
    const QueryCode code = codes_.encode_query(query);
    Hit nearest{0, graph.entry_point};
    compare(code, &graph.entry_point, 1, &nearest.score);
    std::vector<Node> links;
    std::vector<float> scores;
    for (int level = graph.max_level; level > 0; --level) {
      for (bool moved = true; moved;) {
        moved = false;
        links.clear();
        for_each_link(nearest.row, level, [&](Node node) { links.push_back(node); });
        compare(code, links, scores);
        for (std::size_t i = 0; i < links.size(); ++i) {
          if (!better({scores[i], links[i]}, nearest)) continue;
          nearest = {scores[i], links[i]};
          moved = true;
        }
      }
    }

    VisitedRowsPool::Lease visited = visited_.borrow();
    std::priority_queue<Hit, std::vector<Hit>, WorseFirst> candidates;
    TopK best(beam);
    const auto offer = [&](const Hit& hit) {
      if (allowed == nullptr || allowed->contains(static_cast<std::size_t>(hit.row))) {
        best.offer(hit);
      }
    };
    visited->visit(static_cast<std::size_t>(nearest.row));
    candidates.push(nearest);
    offer(nearest);
    std::size_t compared = 0;
    bool gave_up = false;
    while (!candidates.empty()) {
      const Hit candidate = candidates.top();
      if (best.full() && better(best.worst(), candidate)) break;
      candidates.pop();
      if (!candidates.empty()) prefetch_links(candidates.top().row);  // most likely the next
      links.clear();
      for_each_link(candidate.row, 0, [&](Node node) {
        if (!visited->visit(static_cast<std::size_t>(node))) return;
        codes_.prefetch(static_cast<std::size_t>(node));
        links.push_back(node);
      });
      compare(code, links, scores);
      compared += links.size();
      gave_up = allowed != nullptr && compared >= rows;
      if (gave_up) break;
      for (std::size_t i = 0; i < links.size(); ++i) {
        const Hit hit{scores[i], links[i]};
        if (best.full() && !better(hit, best.worst())) continue;
        candidates.push(hit);
        offer(hit);
      }
    }
    // Many equal vectors can cut a graph in pieces, too few of whose nodes are in reach.
    if (gave_up || best.size() < std::min(k, rows)) {
      const PlaceRange all{0, size()};
      return search_exactly(tables(), query, {&all, 1}, {allowed}, k);
    }
    return rescore(query, best.take(), k);
  }

  /// The k best of what is most likely to hold them.
  std::vector<Hit> rescore(const float* query, std::vector<Hit> hits, std::size_t k) const {
    const InnerProductKernel& kernel = inner_product_kernel();
    hits.resize(std::min(hits.size(), kRescoredAHit * k + kRescoredAtLeast));
    for (const Hit& hit : hits) __builtin_prefetch(vectors_.at(static_cast<std::size_t>(hit.row)));
    TopK best(k);
    for (const Hit& hit : hits) {
      best.offer({kernel.pair(query, vectors_.at(static_cast<std::size_t>(hit.row)), dimension()),
                  hit.row});
    }
    return best.take();
  }

  /// scores[i]: of the code of nodes[i]
  void compare(const QueryCode& query, const Node* nodes, std::size_t count, float* scores) const {
    constexpr std::size_t kAtATime = 64;
    std::int32_t products[kAtATime];
    for (std::size_t first = 0; first < count; first += kAtATime) {
      const std::size_t some = std::min(kAtATime, count - first);
      code_dot_kernel().gathered(query.high.data(), codes_.codes(), nodes + first, some,
                                 codes_.width(), products);
      for (std::size_t i = 0; i < some; ++i) {
        const auto place = static_cast<std::size_t>(nodes[first + i]);
        scores[first + i] = query.score(codes_.scales()[place], products[i]);
      }
    }
  }

  void compare(const QueryCode& query, const std::vector<Node>& links,
               std::vector<float>& scores) const {
    scores.resize(links.size());
    compare(query, links.data(), links.size(), scores.data());
  }

  void prefetch_links(std::int64_t row) const {
    const Node* links =
        index_->hnsw.neighbors.data() + index_->hnsw.offsets[static_cast<std::size_t>(row)];
    __builtin_prefetch(links);
    __builtin_prefetch(links + 16);
  }

  template <class Visit>
  void for_each_link(std::int64_t row, int level, Visit visit) const {
    const faiss::HNSW& graph = index_->hnsw;
    const std::size_t first = graph.offsets[static_cast<std::size_t>(row)];
    const auto at = static_cast<std::size_t>(level);
    const std::size_t begin = first + static_cast<std::size_t>(graph.cum_nneighbor_per_level[at]);
    const std::size_t end = first + static_cast<std::size_t>(graph.cum_nneighbor_per_level[at + 1]);
    for (std::size_t i = begin; i < end; ++i) {
      const Node node = graph.neighbors[i];
      if (node < 0) break;  // links come first, then -1 to the end of the range
      visit(node);
    }
  }

  std::unique_ptr<faiss::IndexHNSWFlat> index_;
  VectorTable vectors_;
  CodeTable codes_;
  std::shared_ptr<const void> owner_;
  mutable VisitedRowsPool visited_;
};

/// Throws Corruption unless every number in the graph leads to a node that is there: the walk
/// relies on it.
void check_graph(const faiss::HNSW& graph, std::size_t nodes) {
  const auto fail = [] { throw corruption("its graph leads to nodes that do not exist"); };
  const auto& per_level = graph.cum_nneighbor_per_level;
  if (graph.levels.size() != nodes || graph.offsets.size() != nodes + 1 || per_level.empty() ||
      per_level.front() != 0 || !std::is_sorted(per_level.begin(), per_level.end()) ||
      graph.offsets.front() != 0 || graph.offsets.back() != graph.neighbors.size()) {
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
        const Node link = graph.neighbors[i];
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

std::unique_ptr<VectorIndex> build(MatrixView vectors, const IndexSpec& spec,
                                   const BuildProgress& progress) {
  const int dimension = static_cast<int>(vectors.cols);
  auto index =
      std::make_unique<faiss::IndexHNSWFlat>(dimension, spec.hnsw_m, faiss::METRIC_INNER_PRODUCT);
  index->ntotal = static_cast<std::int64_t>(vectors.rows);
  index->hnsw.efConstruction = spec.ef_construction;
  index->hnsw.prepare_level_tab(vectors.rows);
  auto copy = std::make_shared<LargeArray<float>>(copy_of(vectors));
  VectorTable table = one_block(copy->data(), vectors.rows, vectors.cols);
  CodeTable codes(table);
  build_graph(index->hnsw, table, codes, [&](std::size_t linked) {
    if (progress) progress(linked, vectors.rows);
  });
  return std::make_unique<HnswIndex>(std::move(index), std::move(table), std::move(codes),
                                     std::move(copy));
}

std::unique_ptr<VectorIndex> adopt(IndexFile& file) {
  auto* hnsw = dynamic_cast<faiss::IndexHNSWFlat*>(file.index.get());
  if (hnsw == nullptr || file.vectors == nullptr) return nullptr;
  if (dynamic_cast<const faiss::IndexFlat*>(hnsw->storage) == nullptr) {
    throw corruption("its vectors do not fit its graph");
  }
  check_graph(hnsw->hnsw, file.rows);
  VectorTable vectors = one_block(file.vectors, file.rows, file.dimension);
  CodeTable codes = file.code_table();
  static_cast<void>(file.index.release());  // owned through the narrower pointer from here
  return std::make_unique<HnswIndex>(std::unique_ptr<faiss::IndexHNSWFlat>(hnsw),
                                     std::move(vectors), std::move(codes), file.file);
}

}  // namespace

constexpr IndexKind kHnswKind = {"hnsw", build, adopt};

}  // namespace vitrine::index
