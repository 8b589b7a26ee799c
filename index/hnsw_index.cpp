// "hnsw": the vectors as nodes of a layered graph; a search walks from node to nearer node.

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <queue>
#include <utility>

#include "base/error.h"
#include "index/beam.h"
#include "index/checked_index.h"
#include "index/exact_search.h"
#include "index/graph_builder.h"
#include "index/kernels/code_dot.h"
#include "index/kinds.h"
#include "index/large_array.h"
#include "index/parallel.h"
#include "index/visited_rows.h"

namespace vitrine::index {
namespace {

using Node = faiss::HNSW::storage_idx_t;  // 32 bits, a row

/// A walk under a filter may compare one node for so many allowed rows, so that one that gives up
/// has cost little beside the comparison of all of them: a step to a node, which may lie anywhere,
/// takes about as long as comparing eight rows one after another.
constexpr std::size_t kFilteredShare = 64;

/// Rough scores err by about 16 / sqrt(12) steps of a code, in either direction; of twice that
/// neither a beam nor a walk misses much.
constexpr float kRoughness = 10;

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
  std::shared_ptr<const faiss::Index> faiss_index() const override { return part(*index_); }

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
    // A query that is alone is compared with all allowed rows on all threads.
    const std::size_t threads = threads_for(rows * dimension() / 4);
    const std::size_t most =
        rows / kFilteredShare / std::max<std::size_t>(1, threads / queries.rows);
    if (beam >= rows || (allowed != nullptr && walked >= static_cast<double>(most))) {
      return search_exact(queries, k, allowed);
    }
    SearchResult result = make_result(queries.rows, k);
    parallel_for(
        queries.rows, threads_for(queries.rows * static_cast<std::size_t>(walked) * dimension()),
        [&](std::size_t query) {
          put_hits(walk(queries.row(query).data(), beam, k, {allowed, rows, most}), query, result);
        });
    return result;
  }

 private:
  /// What a walk may find.
  struct Allowed {
    const RowSet* rows;         ///< null: all
    std::size_t count;          ///< of them
    std::size_t most_compared;  ///< nodes, before a walk under a filter gives up
  };

  /// At least k hits, best first; fewer where fewer are allowed. The walk goes through every node,
  /// and stops when the `beam` best allowed ones are better than any node left to go on from: the
  /// rarer allowed rows are, the farther it goes. Where they lie far from the query it would go
  /// through most of the graph; it gives up in time and compares all allowed rows.
  std::vector<Hit> walk(const float* query, std::size_t beam_width, std::size_t k,
                        const Allowed& allowed) const {
    const QueryCode code = codes_.encode_query(query);
    Walk walk{code, visited_.borrow(), {}, {}, {}, 0, {}};
    const Hit start = descend(walk);
    walk.visited->visit(static_cast<std::size_t>(start.row));
    const std::vector<Node> found = allowed.rows == nullptr
                                        ? nearest(walk, start, beam_width)
                                        : nearest_allowed(walk, start, beam_width, allowed);
    // Many equal vectors can cut a graph in pieces, too few of whose nodes are in reach.
    if (found.size() < std::min(k, allowed.count)) {
      const PlaceRange all{0, size()};
      return search_exactly(tables(), query, {&all, 1}, {allowed.rows}, k);
    }
    return best_of_places(tables(), query, code, found, k);
  }

  /// What a walk needs.
  struct Walk {
    const QueryCode& code;
    VisitedRowsPool::Lease visited;
    std::vector<Node> links;  // of the node it is at, those not visited before
    std::vector<std::int32_t> products;
    std::vector<std::int32_t> lower_products;
    std::size_t compared = 0;   // nodes, at the last step
    std::vector<float> scores;  // of the links
  };

  /// The nearest node of the lowest level but one, by going to the nearest link of each.
  Hit descend(Walk& walk) const {
    const faiss::HNSW& graph = index_->hnsw;
    walk.links.assign(1, graph.entry_point);
    compare(walk);
    Hit nearest{walk.scores[0], graph.entry_point};
    for (int level = graph.max_level; level > 0; --level) {
      for (bool moved = true; moved;) {
        moved = false;
        walk.links.clear();
        for_each_link(nearest.row, level, [&](Node node) {
          codes_.prefetch_upper(static_cast<std::size_t>(node));
          walk.links.push_back(node);
        });
        compare(walk);
        for (std::size_t i = 0; i < walk.links.size(); ++i) {
          if (!better({walk.scores[i], walk.links[i]}, nearest)) continue;
          nearest = {walk.scores[i], walk.links[i]};
          moved = true;
        }
      }
    }
    walk.links.assign(1, static_cast<Node>(nearest.row));
    compare(walk);
    refine(walk, -std::numeric_limits<float>::infinity());
    return {walk.scores[0], nearest.row};
  }

  /// Compares the links of a node on the lowest level that were not visited before, and keeps those
  /// that may score at least `worst`.
  void go_to(std::int64_t node, Walk& walk, float worst) const {
    walk.links.clear();
    for_each_link(node, 0, [&](Node link) {
      if (!walk.visited->visit(static_cast<std::size_t>(link))) return;
      codes_.prefetch_upper(static_cast<std::size_t>(link));
      walk.links.push_back(link);
    });
    compare(walk);
    refine(walk, worst);
  }

  std::vector<Node> nearest(Walk& walk, const Hit& start, std::size_t beam_width) const {
    Beam beam(beam_width);
    beam.offer(start);
    while (const std::optional<Hit> node = beam.next()) {
      if (const std::optional<Hit> likely_next = beam.peek()) prefetch_links(likely_next->row);
      go_to(node->row, walk, beam.worst());
      for (std::size_t i = 0; i < walk.links.size(); ++i) {
        if (!beam.offer({walk.scores[i], walk.links[i]})) continue;
        __builtin_prefetch(index_->hnsw.offsets.data() + walk.links[i]);
      }
    }
    std::vector<Node> found(beam.size());
    for (std::size_t i = 0; i < found.size(); ++i) found[i] = static_cast<Node>(beam[i].row);
    return found;
  }

  /// None when it gave up.
  std::vector<Node> nearest_allowed(Walk& walk, const Hit& start, std::size_t beam_width,
                                    const Allowed& allowed) const {
    std::priority_queue<Hit, std::vector<Hit>, WorseFirst> candidates;
    TopK best(beam_width);
    const auto offer = [&](const Hit& hit) {
      if (best.full() && !better(hit, best.worst())) return;
      candidates.push(hit);
      if (allowed.rows->contains(static_cast<std::size_t>(hit.row))) best.offer(hit);
    };
    offer(start);
    for (std::size_t compared = 0; !candidates.empty();) {
      const Hit candidate = candidates.top();
      if (best.full() && better(best.worst(), candidate)) break;
      candidates.pop();
      if (!candidates.empty()) prefetch_links(candidates.top().row);  // most likely the next
      const float worst =
          best.full() ? best.worst().score : -std::numeric_limits<float>::infinity();
      go_to(candidate.row, walk, worst);
      compared += walk.compared;
      if (compared >= allowed.most_compared) return {};
      for (std::size_t i = 0; i < walk.links.size(); ++i) {
        offer({walk.scores[i], walk.links[i]});
      }
    }
    std::vector<Node> found;
    for (const Hit& hit : best.take()) found.push_back(static_cast<Node>(hit.row));
    return found;
  }

  /// Fills the scores of the links, by the upper halves of their codes.
  void compare(Walk& walk) const {
    walk.compared = walk.links.size();
    walk.products.resize(walk.links.size());
    walk.scores.resize(walk.links.size());
    code_dot_kernel().gathered(walk.code.high.data(), codes_.upper(), walk.links.data(),
                               walk.links.size(), codes_.width(), walk.products.data());
    for (std::size_t i = 0; i < walk.links.size(); ++i) {
      const auto place = static_cast<std::size_t>(walk.links[i]);
      walk.scores[i] = walk.code.rough_score(codes_.scales()[place], walk.products[i]);
    }
  }

  /// Scores the links by whole codes, without those that can hardly score `worst`.
  void refine(Walk& walk, float worst) const {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < walk.links.size(); ++i) {
      const auto place = static_cast<std::size_t>(walk.links[i]);
      if (walk.scores[i] + kRoughness * codes_.scales()[place] < worst) continue;
      codes_.prefetch_lower(place);
      walk.links[kept] = walk.links[i];
      walk.products[kept++] = walk.products[i];
    }
    walk.links.resize(kept);
    walk.lower_products.resize(kept);
    code_dot_kernel().gathered(walk.code.high.data(), codes_.lower(), walk.links.data(), kept,
                               codes_.width(), walk.lower_products.data());
    for (std::size_t i = 0; i < kept; ++i) {
      const auto place = static_cast<std::size_t>(walk.links[i]);
      walk.scores[i] =
          walk.code.finer_score(codes_.scales()[place], walk.products[i], walk.lower_products[i]);
    }
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
