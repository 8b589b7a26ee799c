// "hnsw": the vectors as nodes of a layered graph; a search walks from node to nearer node.

#include <faiss/IndexHNSW.h>

#include <algorithm>
#include <array>
#include <limits>
#include <queue>
#include <span>
#include <utility>

#include "base/error.h"
#include "index/beam.h"
#include "index/best_hits.h"
#include "index/candidates.h"
#include "index/checked_index.h"
#include "index/entrances.h"
#include "index/exact_search.h"
#include "index/graph.h"
#include "index/graph_builder.h"
#include "index/kernels/code_dot.h"
#include "index/kernels/hit_keys.h"
#include "index/kinds.h"
#include "index/large_array.h"
#include "index/packed_search.h"
#include "index/parallel.h"
#include "index/pool.h"
#include "index/visited_rows.h"

namespace vitrine::index {
namespace {

using Node = Graph::Node;

/// A walk under a filter may compare one node for so many allowed rows, so that one that gives up
/// has cost little beside the comparison of all of them: a step to a node, which may lie anywhere,
/// takes about as long as comparing four rows one after another.
constexpr std::size_t kFilteredShare = 24;
/// Where four fifths of all rows or more are allowed, as beside the tombstones of updates, a walk
/// goes hardly farther than without a filter: it pays where it compares one node for so many
/// allowed rows, and gives up late.
constexpr std::size_t kLooselyFilteredShare = 2;
/// Such a walk may compare so many times the nodes that it should.
constexpr double kFartherThanExpected = 1.5;
/// Comparing so many vectors by packed codes takes no longer than going on from one node.
constexpr std::size_t kPackedForANode = 256;

/// Rough scores err by about 16 / sqrt(12) steps of a code, in either direction; of twice that
/// neither a beam nor a walk misses much.
constexpr float kRoughness = 10;

/// Of candidates to walk on from, the best is on top.
struct WorseFirst {
  bool operator()(const Hit& a, const Hit& b) const { return better(b, a); }
};

/// How a walk compares nodes.
struct Pace {
  /// Nodes kept beyond those that are gone on from: finer scores err as well, and may put a hit
  /// behind a few others.
  std::size_t spare_nodes;
  /// Nodes gone on from together: while the links of one are compared, those of another arrive. Too
  /// many, and some turn out not to be among the best.
  std::size_t nodes_at_a_time;
};
constexpr Pace kPace = {4, 2};
/// By leading codes, which err more, and take less time to compare than to arrive.
constexpr Pace kPaceByLeadingCodes = {6, 4};
constexpr std::size_t kMostNodesAtATime = 4;
/// Of fewer nodes than this that leading codes found, the vectors are fetched at once: telling
/// which are not needed would take as long as comparing them.
constexpr std::size_t kWorthTelling = 40;

/// FAISS's constructor wants a number; nothing that it makes of it is written.
constexpr int kAnyLinks = 16;

/// What one walk after another uses, so that none allocates.
struct WalkMemory {
  WalkMemory(std::size_t rows, std::size_t most_links)
      : visited(rows),
        links(hit_keys_room(kMostNodesAtATime * most_links)),
        products(links.size()),
        lower_products(links.size()),
        scores(links.size()) {}

  QueryCode code;
  VisitedRows visited;
  Beam beam{1};
  std::vector<Hit> found;
  std::vector<float> errors;  // of the scores of found, at most
  // Of the nodes the walk is at: [count] of them count.
  std::size_t count = 0;
  std::vector<Node> links;
  std::vector<std::int32_t> products;
  std::vector<std::int32_t> lower_products;
  std::vector<float> scores;
  std::size_t compared = 0;  // nodes, since the walk began
};

class HnswIndex : public CheckedIndex {
 public:
  /// owner: keeps the vectors and the codes where they are.
  HnswIndex(Graph graph, VectorTable vectors, CodeTable codes, std::shared_ptr<const void> owner)
      : graph_(std::move(graph)),
        vectors_(std::move(vectors)),
        codes_(std::move(codes)),
        owner_(std::move(owner)),
        memory_([rows = vectors_.size(), most_links = graph_.most_room()] {
          return std::make_unique<WalkMemory>(rows, most_links);
        }) {
    if (by_leading_codes()) entrances_ = Entrances(graph_, codes_.leading());
  }

  std::string kind() const override { return std::string(kHnswKind.name); }

 protected:
  SearchTables tables() const override { return {&codes_, &vectors_}; }
  std::size_t heap_bytes() const override {
    return graph_.heap_bytes() + codes_.heap_bytes() + entrances_.heap_bytes();
  }
  void write_faiss(const WriteBytes& write) const override {
    faiss::IndexHNSWFlat index(static_cast<int>(dimension()), kAnyLinks,
                               faiss::METRIC_INNER_PRODUCT);
    index.ntotal = static_cast<std::int64_t>(size());
    write(faiss_header(index));
    graph_.write_to(write);
    write_flat(vectors_, write);
  }

  void search_exact(const MatrixView& queries, const RowSet* allowed,
                    SearchResult& result) const override {
    const PlaceRange all{0, size()};
    search_exactly(tables(), queries, {&all, 1}, {allowed}, result);
  }

  void search_approximate(const MatrixView& queries, const SearchOptions& options, std::size_t rows,
                          SearchResult& result) const override {
    const std::size_t k = result.k;
    const std::size_t beam = std::max(k, static_cast<std::size_t>(options.ef_search));
    const auto links = graph_.room(0);
    const RowSet* allowed = options.allowed;
    // The walk meets rows / size() allowed nodes in each node it goes through, and compares each of
    // those with about half its links: the others were compared before.
    const double nodes =
        static_cast<double>(beam) * static_cast<double>(size()) / static_cast<double>(rows);
    const double walked = nodes * static_cast<double>(links) / 2;
    // A query that is alone is compared with all allowed rows on all threads.
    const std::size_t threads = threads_for_codes(rows, dimension());
    const std::size_t all = rows / std::max<std::size_t>(1, threads / queries.rows);
    const bool loosely_filtered = 5 * rows >= 4 * size();
    const std::size_t share = loosely_filtered ? kLooselyFilteredShare : kFilteredShare;
    std::size_t most = all / kFilteredShare;
    if (loosely_filtered) {
      most = std::max(most, static_cast<std::size_t>(kFartherThanExpected * walked));
    }
    const bool packed = size() <= kPackedForANode * beam && can_search_packed(codes_, {allowed}, k);
    if (beam >= rows || packed ||
        (allowed != nullptr && walked >= static_cast<double>(all / share))) {
      return search_exact(queries, allowed, result);
    }
    parallel_for(queries.rows,
                 threads_for(queries.rows * static_cast<std::size_t>(walked) * dimension()),
                 [&](std::size_t query) {
                   walk(queries, query, beam, {allowed, rows, most}, result);
                 });
  }

 private:
  /// What a walk may find.
  struct Allowed {
    const RowSet* rows;         ///< null: all
    std::size_t count;          ///< of them
    std::size_t most_compared;  ///< nodes, before a walk under a filter gives up
  };

  /// Writes the answer to a query: result.k hits, fewer where fewer are allowed. The walk goes
  /// through every node, and stops when the `beam` best allowed ones are better than any node left
  /// to go on from: the rarer allowed rows are, the farther it goes. Where they lie far from the
  /// query it would go through most of the graph; it gives up in time and compares all allowed
  /// rows.
  void walk(MatrixView queries, std::size_t number, std::size_t beam_width, const Allowed& allowed,
            SearchResult& result) const {
    const float* query = queries.row(number).data();
    Pool<WalkMemory>::Lease memory = memory_.borrow();
    WalkMemory& at = *memory;
    codes_.encode_query_for_scan(query, at.code);
    at.visited.forget_all();
    at.compared = 0;
    std::size_t found = 0;
    if (allowed.rows == nullptr) {
      find_nearest(at, beam_width);
      found = at.beam.size();
    } else {
      at.found.clear();
      find_nearest_allowed(at, beam_width + pace().spare_nodes, allowed);
      found = at.found.size();
    }
    // Many equal vectors can cut a graph in pieces, too few of whose nodes are in reach.
    if (found < std::min(result.k, allowed.count)) {
      const PlaceRange all{0, size()};
      put_hits(search_exactly(tables(), query, {&all, 1}, {allowed.rows}, result.k), number,
               result);
    } else if (allowed.rows == nullptr && fetches_vectors(beam_width)) {
      std::int32_t places[kWorthTelling];
      for (std::size_t i = 0; i < found; ++i) places[i] = at.beam.row(i);
      BestHits best(result.k);
      compare_places(tables(), query, {places, found}, Nearness::kNear, best);
      put_hits(best, number, result);
    } else {
      if (allowed.rows == nullptr) {
        at.found.resize(found);
        for (std::size_t i = 0; i < found; ++i) at.found[i] = at.beam[i];
      }
      put_hits(best_of_scored(tables(), query, at.found, errors_of_found(at), result.k), number,
               result);
    }
  }

  /// How far the scores of what was found may be off. Those of leading codes are made finer.
  std::span<const float> errors_of_found(WalkMemory& at) const {
    const std::size_t count = at.found.size();
    at.errors.resize(count);
    if (by_leading_codes()) {
      for (std::size_t first = 0; first < count; first += at.links.size()) {
        refine(at, first, std::min(at.links.size(), count - first));
      }
      return at.errors;
    }
    for (std::size_t i = 0; i < count; ++i) {
      const auto place = static_cast<std::size_t>(at.found[i].row);
      at.errors[i] = at.code.finer_error(codes_.errors()[place]);
    }
    return at.errors;
  }

  /// Scores some of what was found by all bits of leading codes, and of the query.
  void refine(WalkMemory& at, std::size_t first, std::size_t count) const {
    const LeadingCodes& leading = codes_.leading();
    const LeadingQuery& query = at.code.leading;
    const auto multiply_by = [&](const auto& weights, std::vector<std::int32_t>& products) {
      byte_dot_kernel().gathered(weights.data(), leading.codes(), at.links.data(), count,
                                 products.data());
    };
    for (std::size_t i = 0; i < count; ++i) {
      at.links[i] = static_cast<Node>(at.found[first + i].row);
    }
    multiply_by(query.high, at.products);
    multiply_by(query.low, at.lower_products);
    for (std::size_t i = 0; i < count; ++i) {
      const auto place = static_cast<std::size_t>(at.links[i]);
      at.found[first + i].score =
          query.score(leading.scales()[place], at.products[i], at.lower_products[i]);
      at.errors[first + i] = query.error(leading.errors()[place], leading.rests()[place]);
    }
  }

  /// Whether a walk fetches the vectors of what it goes on from, nearly all of which are compared
  /// in the end: it has time to.
  bool fetches_vectors(std::size_t beam_width) const {
    return by_leading_codes() && beam_width + pace().spare_nodes < kWorthTelling;
  }

  bool by_leading_codes() const { return !codes_.leading().empty(); }
  const Pace& pace() const { return by_leading_codes() ? kPaceByLeadingCodes : kPace; }

  /// Finds the best nodes, as many as the beam is wide and a few more.
  void find_nearest(WalkMemory& at, std::size_t beam_width) const {
    Beam& beam = at.beam;
    beam.set_widths(beam_width, beam_width + pace().spare_nodes);
    beam.offer(descend(at));
    const bool fetches = fetches_vectors(beam_width);
    std::array<Hit, kMostNodesAtATime> nodes;
    const std::span<Hit> at_a_time = std::span(nodes).first(pace().nodes_at_a_time);
    while (const std::size_t node_count = beam.next(at_a_time)) {
      const float worst = beam.worst();
      at.count = 0;
      for (const Hit& node : at_a_time.first(node_count)) meet_links(node.row, at);
      if (fetches) {
        for (const Hit& node : at_a_time.first(node_count)) {
          vectors_.prefetch(static_cast<std::size_t>(node.row));
        }
      }
      compare(at, worst);
      beam.offer(at.scores.data(), at.links.data(), at.count);
      beam.for_likely([&](std::int64_t open) { graph_.prefetch(static_cast<Node>(open)); });
    }
  }

  /// Finds the best allowed nodes, as many as the beam is wide; none when it gave up.
  void find_nearest_allowed(WalkMemory& at, std::size_t beam_width, const Allowed& allowed) const {
    std::priority_queue<Hit, std::vector<Hit>, WorseFirst> candidates;
    TopK best(beam_width);
    const auto offer = [&](const Hit& hit) {
      if (best.full() && !better(hit, best.worst())) return;
      candidates.push(hit);
      if (allowed.rows->contains(static_cast<std::size_t>(hit.row))) best.offer(hit);
    };
    offer(descend(at));
    while (!candidates.empty()) {
      const Hit candidate = candidates.top();
      if (best.full() && better(best.worst(), candidate)) break;
      candidates.pop();
      if (!candidates.empty())
        graph_.prefetch(static_cast<Node>(candidates.top().row));  // most likely the next
      at.count = 0;
      meet_links(candidate.row, at);
      compare(at, best.full() ? best.worst().score : -std::numeric_limits<float>::infinity());
      if (at.compared >= allowed.most_compared) return;
      for (std::size_t i = 0; i < at.count; ++i) offer({at.scores[i], at.links[i]});
    }
    at.found = best.take();
  }

  /// The nearest node of the lowest level but one, visited, by going to the nearest link of each.
  Hit descend(WalkMemory& at) const {
    Hit nearest{0, graph_.entry_point()};
    const auto compare_roughly = [&](std::span<const Node> nodes) {
      if (by_leading_codes()) {
        for (const Node node : nodes) codes_.leading().prefetch(static_cast<std::size_t>(node));
        compare_by_leading_codes(nodes, at);
        return;
      }
      for (const Node node : nodes) codes_.prefetch_upper(static_cast<std::size_t>(node));
      multiply(codes_.upper(), nodes, at, at.products.data());
      for (std::size_t i = 0; i < nodes.size(); ++i) {
        const float scale = codes_.scales()[static_cast<std::size_t>(nodes[i])];
        at.scores[i] = at.code.rough_score(scale, at.products[i]);
      }
    };
    int level = graph_.top_level();
    if (by_leading_codes()) {
      nearest = entrances_.nearest(at.code.leading);
      level = entrances_.level() - 1;
    } else {
      const Node entry_point = graph_.entry_point();
      compare_roughly({&entry_point, 1});
      nearest.score = at.scores[0];
    }
    for (; level > 0; --level) {
      for (bool moved = true; moved;) {
        moved = false;
        const std::span<const Node> links = links_of(nearest.row, level);
        compare_roughly(links);
        for (std::size_t i = 0; i < links.size(); ++i) {
          if (!better({at.scores[i], links[i]}, nearest)) continue;
          nearest = {at.scores[i], links[i]};
          moved = true;
        }
      }
    }
    at.links[0] = static_cast<Node>(nearest.row);
    at.count = 1;
    at.visited.visit(static_cast<std::size_t>(nearest.row));
    compare(at, -std::numeric_limits<float>::infinity());
    return {at.scores[0], nearest.row};
  }

  /// Adds the links of a node on the lowest level that were not visited before.
  void meet_links(std::int64_t node, WalkMemory& at) const {
    Node* added = at.links.data() + at.count;
    const std::size_t count = at.visited.keep_new(graph_.links(static_cast<Node>(node), 0), added);
    const std::span<const Node> links(added, count);
    if (by_leading_codes()) {
      for (const Node link : links) codes_.leading().prefetch(static_cast<std::size_t>(link));
    } else if (codes_are_short()) {
      for (const Node link : links) codes_.prefetch_short(static_cast<std::size_t>(link));
    } else {
      for (const Node link : links) codes_.prefetch_upper(static_cast<std::size_t>(link));
    }
    at.count += count;
  }

  /// Whether half a code takes but one line of a cache: leaving out the other one spares nothing.
  bool codes_are_short() const { return codes_.width() <= kCodeAlignment; }

  /// Scores the links, and leaves those that may score at least `worst`, or all.
  void compare(WalkMemory& at, float worst) const {
    at.compared += at.count;
    if (by_leading_codes()) {
      compare_by_leading_codes({at.links.data(), at.count}, at);
      return;
    }
    if (codes_are_short()) {
      code_dot_kernel().gathered_whole(at.code.high.data(), codes_.upper(), codes_.lower(),
                                       at.links.data(), at.count, codes_.width(),
                                       at.products.data());
    } else {
      compare_in_two_steps(at, worst);
    }
    const Node* links = at.links.data();
    const std::int32_t* products = at.products.data();
    const float* scales = codes_.scales();
    float* scores = at.scores.data();
    for (std::size_t i = 0, count = at.count; i < count; ++i) {
      scores[i] = at.code.finer_score(scales[static_cast<std::size_t>(links[i])], products[i]);
    }
  }

  void compare_by_leading_codes(std::span<const Node> nodes, WalkMemory& at) const {
    const LeadingCodes& leading = codes_.leading();
    const LeadingQuery& query = at.code.leading;
    byte_dot_kernel().gathered_scores(query.high.data(), query.rough_score(), leading.codes(),
                                      leading.scales(), nodes.data(), nodes.size(),
                                      at.scores.data());
  }

  /// Multiplies the query with the upper halves of the links' codes at first, and with the lower
  /// halves of those that may score at least `worst`. The others are dropped.
  void compare_in_two_steps(WalkMemory& at, float worst) const {
    multiply(codes_.upper(), {at.links.data(), at.count}, at, at.products.data());
    Node* links = at.links.data();
    std::int32_t* products = at.products.data();
    const float* scales = codes_.scales();
    std::size_t kept = 0;
    for (std::size_t i = 0, count = at.count; i < count; ++i) {
      const Node link = links[i];
      const std::int32_t product = products[i];
      const float scale = scales[static_cast<std::size_t>(link)];
      // Cannot be foretold: no branch.
      links[kept] = link;
      products[kept] = product;
      kept += at.code.rough_score(scale, product) + kRoughness * scale >= worst ? 1 : 0;
    }
    at.count = kept;
    for (std::size_t i = 0; i < kept; ++i) {
      codes_.prefetch_lower(static_cast<std::size_t>(links[i]));
    }
    multiply(codes_.lower(), {links, kept}, at, at.lower_products.data());
    for (std::size_t i = 0; i < kept; ++i) products[i] = 16 * products[i] + at.lower_products[i];
  }

  void multiply(const std::uint8_t* halves, std::span<const Node> nodes, const WalkMemory& at,
                std::int32_t* products) const {
    code_dot_kernel().gathered(at.code.high.data(), halves, nodes.data(), nodes.size(),
                               codes_.width(), products);
  }

  /// Those before the first that is not set.
  std::span<const Node> links_of(std::int64_t node, int level) const {
    const std::span<const Node> room = graph_.links(static_cast<Node>(node), level);
    return room.first(
        static_cast<std::size_t>(std::find(room.begin(), room.end(), -1) - room.begin()));
  }

  Graph graph_;
  VectorTable vectors_;
  CodeTable codes_;
  Entrances entrances_;  // where there are leading codes
  std::shared_ptr<const void> owner_;
  mutable Pool<WalkMemory> memory_;
};

std::unique_ptr<VectorIndex> build(MatrixView vectors, const IndexSpec& spec,
                                   const BuildProgress& progress) {
  Graph graph(vectors.rows, spec.hnsw_m, spec.ef_construction);
  auto copy = std::make_shared<LargeArray<float>>(copy_of(vectors));
  VectorTable table = one_block(copy->data(), vectors.rows, vectors.cols);
  CodeTable codes(table);
  build_graph(graph, table, codes, [&](std::size_t linked) {
    if (progress) progress(linked, vectors.rows);
  });
  return std::make_unique<HnswIndex>(std::move(graph), std::move(table), std::move(codes),
                                     std::move(copy));
}

std::unique_ptr<VectorIndex> adopt(IndexFile& file) {
  if (file.graph.empty()) return nullptr;
  Graph graph(file.graph, file.rows);
  return std::make_unique<HnswIndex>(std::move(graph),
                                     one_block(file.vectors, file.rows, file.dimension),
                                     file.code_table(), file.file);
}

}  // namespace

constexpr IndexKind kHnswKind = {"hnsw", build, adopt};

}  // namespace vitrine::index
