// "hnsw": the vectors as nodes of a layered graph; a search walks from node to nearer node.

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/impl/DistanceComputer.h>

#include <algorithm>
#include <queue>
#include <utility>

#include "base/error.h"
#include "index/checked_index.h"
#include "index/exact_search.h"
#include "index/kernels/inner_product.h"
#include "index/kinds.h"
#include "index/parallel.h"
#include "index/visited_rows.h"

namespace vitrine::index {
namespace {

using Node = faiss::HNSW::storage_idx_t;  // 32 bits, a row

/// Hands FAISS's graph builder our inner product in place of the packaged SSE2 one.
class KernelDistances : public faiss::FlatCodesDistanceComputer {
 public:
  explicit KernelDistances(const faiss::IndexFlat& flat)
      : faiss::FlatCodesDistanceComputer(flat.codes.data(), flat.code_size),
        dimension_(static_cast<std::size_t>(flat.d)) {}

  void set_query(const float* query) override { query_ = query; }
  float distance_to_code(const std::uint8_t* code) override {
    return pair_(query_, as_vector(code), dimension_);
  }
  float symmetric_dis(std::int64_t a, std::int64_t b) override {
    return pair_(as_vector(codes + static_cast<std::size_t>(a) * code_size),
                 as_vector(codes + static_cast<std::size_t>(b) * code_size), dimension_);
  }

 private:
  static const float* as_vector(const std::uint8_t* code) {
    return reinterpret_cast<const float*>(code);
  }

  float (*pair_)(const float*, const float*, std::size_t) = inner_product_kernel().pair;
  std::size_t dimension_;
  const float* query_ = nullptr;
};

/// FAISS writes it to a file as the IndexFlat it is.
class KernelFlat : public faiss::IndexFlatIP {
 public:
  using faiss::IndexFlatIP::IndexFlatIP;
  faiss::FlatCodesDistanceComputer* get_FlatCodesDistanceComputer() const override {
    return new KernelDistances(*this);
  }
};

/// Of candidates to walk on from, the best is on top.
struct WorseFirst {
  bool operator()(const Hit& a, const Hit& b) const { return better(b, a); }
};

class HnswIndex : public CheckedIndex {
 public:
  explicit HnswIndex(std::unique_ptr<faiss::IndexHNSWFlat> index)
      : index_(std::move(index)),
        vectors_(dynamic_cast<const faiss::IndexFlat&>(*index_->storage).get_xb()),
        table_(one_block(vectors_, size(), dimension())),
        codes_(table_),
        visited_(static_cast<std::size_t>(index_->ntotal)) {}

  std::string kind() const override { return std::string(kHnswKind.name); }

 protected:
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

  const float* row_data(std::size_t row) const override { return vectors_ + row * dimension(); }

 private:
  /// At least k hits, best first; fewer where `rows`, the number of allowed ones, is less. The walk
  /// goes through every node, and stops when the `beam` best allowed ones are better than any node
  /// left to go on from: the rarer allowed rows are, the farther it goes. Where they lie far from
  /// the query it would go through most of the graph; after as many comparisons as there are
  /// allowed rows it gives up and compares those.
  std::vector<Hit> walk(const float* query, std::size_t beam, std::size_t k, const RowSet* allowed,
                        std::size_t rows) const {
    const InnerProductKernel& kernel = inner_product_kernel();
    const faiss::HNSW& graph = index_->hnsw;
    Hit nearest{
        kernel.pair(query, row_data(static_cast<std::size_t>(graph.entry_point)), dimension()),
        graph.entry_point};
    std::vector<Node> links;
    std::vector<float> scores;
    for (int level = graph.max_level; level > 0; --level) {
      for (bool moved = true; moved;) {
        moved = false;
        links.clear();
        for_each_link(nearest.row, level, [&](Node node) { links.push_back(node); });
        compare(query, links, scores);
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
      links.clear();
      for_each_link(candidate.row, 0, [&](Node node) {
        if (!visited->visit(static_cast<std::size_t>(node))) return;
        __builtin_prefetch(row_data(static_cast<std::size_t>(node)));
        links.push_back(node);
      });
      compare(query, links, scores);
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
    return best.take();
  }

  SearchTables tables() const { return {&codes_, &table_}; }

  /// scores[i] = query . vector of links[i]
  void compare(const float* query, const std::vector<Node>& links,
               std::vector<float>& scores) const {
    scores.resize(links.size());
    inner_product_kernel().gathered(query, vectors_, links.data(), links.size(), dimension(),
                                    scores.data());
  }

  template <class Visit>
  void for_each_link(std::int64_t row, int level, Visit visit) const {
    std::size_t begin = 0;
    std::size_t end = 0;
    index_->hnsw.neighbor_range(row, level, &begin, &end);
    for (std::size_t i = begin; i < end; ++i) {
      const Node node = index_->hnsw.neighbors[i];
      if (node < 0) break;  // links come first, then -1 to the end of the range
      visit(node);
    }
  }

  std::unique_ptr<faiss::IndexHNSWFlat> index_;
  const float* vectors_;  // [size(), dimension()], of index_
  VectorTable table_;     // of index_
  CodeTable codes_;
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

std::unique_ptr<VectorIndex> build(MatrixView vectors, const IndexSpec& spec) {
  const int dimension = static_cast<int>(vectors.cols);
  auto index =
      std::make_unique<faiss::IndexHNSWFlat>(dimension, spec.hnsw_m, faiss::METRIC_INNER_PRODUCT);
  auto storage = std::make_unique<KernelFlat>(dimension);
  delete std::exchange(index->storage, storage.release());  // FAISS owns by raw pointer
  index->own_fields = true;
  index->hnsw.efConstruction = spec.ef_construction;
  index->add(static_cast<std::int64_t>(vectors.rows), vectors.data);
  return std::make_unique<HnswIndex>(std::move(index));
}

std::unique_ptr<VectorIndex> adopt(std::unique_ptr<faiss::Index>& index) {
  auto* hnsw = dynamic_cast<faiss::IndexHNSWFlat*>(index.get());
  if (hnsw == nullptr) return nullptr;
  const auto* storage = dynamic_cast<const faiss::IndexFlat*>(hnsw->storage);
  const auto nodes = static_cast<std::size_t>(hnsw->ntotal);
  if (storage == nullptr || storage->d != hnsw->d || storage->ntotal != hnsw->ntotal ||
      storage->codes.size() != nodes * static_cast<std::size_t>(hnsw->d) * sizeof(float)) {
    throw corruption("its vectors do not fit its graph");
  }
  check_graph(hnsw->hnsw, nodes);
  static_cast<void>(index.release());  // owned through the narrower pointer from here
  return std::make_unique<HnswIndex>(std::unique_ptr<faiss::IndexHNSWFlat>(hnsw));
}

}  // namespace

constexpr IndexKind kHnswKind = {"hnsw", build, adopt};

}  // namespace vitrine::index
