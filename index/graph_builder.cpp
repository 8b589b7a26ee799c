#include "index/graph_builder.h"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <optional>
#include <thread>

#include "base/compute_threads.h"
#include "index/beam.h"
#include "index/kernels/code_dot.h"
#include "index/kernels/hit_keys.h"
#include "index/kernels/inner_product.h"
#include "index/large_array.h"
#include "index/parallel.h"
#include "index/pool.h"
#include "index/top_k.h"
#include "index/visited_rows.h"

namespace vitrine::index {
namespace {

using Node = Graph::Node;

/// Nodes a thread links between two reports.
constexpr std::size_t kNodesATask = 256;

/// Held for the time of copying or changing one node's links.
class NodeLocks {
 public:
  explicit NodeLocks(std::size_t nodes) : held_(nodes) {}

  class Guard {
   public:
    Guard(NodeLocks& locks, Node node) : held_(locks.held_[static_cast<std::size_t>(node)]) {
      while (held_.exchange(true, std::memory_order_acquire)) std::this_thread::yield();
    }
    ~Guard() { held_.store(false, std::memory_order_release); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    std::atomic<bool>& held_;
  };

 private:
  std::vector<std::atomic<bool>> held_;
};

/// Scores of nodes with nodes, from their codes alone: with x = mean + u and y = mean + v,
///   <x, y> = <mean, x> + <mean, y> - |mean|^2 + <u, v>
/// of which |mean|^2 is left out: it is the same for all.
class CodePairs {
 public:
  CodePairs(const VectorTable& vectors, const CodeTable& codes)
      : codes_(codes), with_mean_(vectors.size()) {
    const std::size_t dimension = vectors.dimension();
    const InnerProductKernel& kernel = inner_product_kernel();
    const std::size_t tasks = (vectors.size() + kNodesATask - 1) / kNodesATask;
    parallel_for(tasks, threads_for(vectors.size() * dimension), [&](std::size_t task) {
      const std::size_t last = std::min(vectors.size(), (task + 1) * kNodesATask);
      for (std::size_t place = task * kNodesATask; place < last; ++place) {
        with_mean_[place] = kernel.pair(codes.mean().data(), vectors.at(place), dimension);
      }
    });
  }

  /// A node that others are compared with.
  class Query {
   public:
    explicit Query(const CodePairs& pairs) : pairs_(pairs), code_(2 * pairs.codes_.width()) {}

    void set(Node node) {
      const auto place = static_cast<std::size_t>(node);
      pairs_.codes_.unpack(place, code_.data());
      sum_ = std::accumulate(code_.begin(), code_.end(), std::int32_t{0});
      scale_ = pairs_.codes_.scales()[place];
      with_mean_ = pairs_.with_mean_[place];
    }

    /// scores[i]: of nodes[i] with the node that was set, by the upper halves of their codes.
    void compare_roughly(const Node* nodes, std::size_t count, float* scores) {
      products_.resize(count);
      code_dot_kernel().gathered(code_.data(), pairs_.codes_.upper(), nodes, count,
                                 pairs_.codes_.width(), products_.data());
      for (std::size_t i = 0; i < count; ++i) {
        scores[i] = score(nodes[i], 8 * (2 * products_[i] - 15 * sum_));
      }
    }

    /// The same by whole codes.
    void compare(const Node* nodes, std::size_t count, float* scores) {
      products_.resize(count);
      code_dot_kernel().gathered_whole(code_.data(), pairs_.codes_.upper(), pairs_.codes_.lower(),
                                       nodes, count, pairs_.codes_.width(), products_.data());
      for (std::size_t i = 0; i < count; ++i) {
        scores[i] = score(nodes[i], products_[i] - 128 * sum_);
      }
    }

   private:
    float score(Node node, std::int32_t product) const {
      const auto place = static_cast<std::size_t>(node);
      return with_mean_ + pairs_.with_mean_[place] +
             scale_ * pairs_.codes_.scales()[place] * static_cast<float>(product);
    }

    const CodePairs& pairs_;
    std::vector<std::int8_t> code_;
    float scale_ = 0;
    std::int32_t sum_ = 0;  // of code_
    float with_mean_ = 0;
    std::vector<std::int32_t> products_;
  };

  void prefetch(Node node) const { codes_.prefetch_upper(static_cast<std::size_t>(node)); }

 private:
  const CodeTable& codes_;
  LargeArray<float> with_mean_;  // [places] <mean, x>
};

class Builder {
 public:
  Builder(Graph& graph, const VectorTable& vectors, const CodeTable& codes)
      : graph_(graph),
        pairs_(vectors, codes),
        locks_(vectors.size()),
        visited_([rows = vectors.size()] { return std::make_unique<VisitedRows>(rows); }) {}

  void link_all(const std::function<void(std::size_t)>& on_progress) {
    // The highest nodes first: the first of them is where every search starts.
    const std::size_t nodes = graph_.size();
    std::vector<Node> order(nodes);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](Node a, Node b) { return graph_.level_of(a) > graph_.level_of(b); });
    graph_.set_entry_point(order.front());

    if (nodes == 1) return;
    const std::size_t tasks = (nodes - 1 + kNodesATask - 1) / kNodesATask;
    std::atomic<std::size_t> linked{1};
    const auto work = static_cast<std::size_t>(graph_.ef_construction()) * 64 * 64 * nodes;
    const auto link_task = [&](std::size_t task) {
      Walker walker(*this);
      const std::size_t first = 1 + task * kNodesATask;
      const std::size_t last = std::min(nodes, first + kNodesATask);
      for (std::size_t i = first; i < last; ++i) {
        walker.link(order[i]);
        give_way();
      }
      if (on_progress) on_progress(linked += last - first);
    };
    link_task(0);  // with nobody else: there is hardly anything to be found yet
    parallel_for(tasks - 1, threads_for(work), [&](std::size_t task) { link_task(task + 1); });
    connect();
  }

 private:
  /// What one thread needs to link nodes.
  class Walker {
   public:
    explicit Walker(Builder& builder)
        : builder_(builder),
          graph_(builder.graph_),
          visited_(builder.visited_.borrow()),
          query_(builder.pairs_),
          owner_(builder.pairs_),
          other_(builder.pairs_),
          beam_(static_cast<std::size_t>(graph_.ef_construction())) {}

    void link(Node node) {
      const int top = graph_.level_of(node);
      Hit nearest = start_at(node, top);
      for (int level = std::min(top, graph_.top_level()); level >= 0; --level) {
        std::vector<Hit> found = search_level(level, nearest, node);
        if (found.empty()) continue;
        nearest = found.front();
        // As many as the upper levels have, on the lowest too: half of its links are for nodes
        // that come later.
        select(found, graph_.room(1));
        set_links(node, level, found);
        for (const Hit& neighbour : found) {
          add_link(static_cast<Node>(neighbour.row), level, {neighbour.score, node});
        }
      }
    }

    /// Links a node that no link leads to on the lowest level from the nearest one that is reached
    /// and has room for it. False when there is none near it.
    bool link_from_reached(Node node, const std::vector<bool>& reached) {
      for (const Hit& each : search_level(0, start_at(node, 0), node)) {
        const auto owner = static_cast<Node>(each.row);
        if (!reached[static_cast<std::size_t>(owner)]) continue;
        const std::span<Node> links = graph_.links(owner, 0);
        if (links.back() >= 0) continue;
        *std::find(links.begin(), links.end(), -1) = node;
        return true;
      }
      return false;
    }

   private:
    /// Sets the query, and goes to the node near it from which to search a level.
    Hit start_at(Node node, int level) {
      query_.set(node);
      Hit nearest{0, graph_.entry_point()};
      compare_one(graph_.entry_point(), nearest.score);
      for (int above = graph_.top_level(); above > level; --above) descend(above, nearest);
      return nearest;
    }

    void compare_one(Node node, float& score) { query_.compare_roughly(&node, 1, &score); }

    /// Copies the node's links at a level, up to the first that is not set.
    void copy_links(Node node, int level, std::vector<Node>& links) {
      links.clear();
      const NodeLocks::Guard guard(builder_.locks_, node);
      for (const Node link : graph_.links(node, level)) {
        if (link < 0) break;
        links.push_back(link);
      }
    }

    void descend(int level, Hit& nearest) {
      for (bool moved = true; moved;) {
        moved = false;
        copy_links(static_cast<Node>(nearest.row), level, links_);
        scores_.resize(links_.size());
        query_.compare_roughly(links_.data(), links_.size(), scores_.data());
        for (std::size_t i = 0; i < links_.size(); ++i) {
          if (!better({scores_[i], links_[i]}, nearest)) continue;
          nearest = {scores_[i], links_[i]};
          moved = true;
        }
      }
    }

    /// The ef_construction nodes of a level nearest to the one being linked, best first.
    std::vector<Hit> search_level(int level, const Hit& start, Node self) {
      visited_->forget_all();
      visited_->visit(static_cast<std::size_t>(self));
      visited_->visit(static_cast<std::size_t>(start.row));
      beam_.clear();
      beam_.offer(start);
      for (Hit node; beam_.next({&node, 1}) > 0;) {
        copy_links(static_cast<Node>(node.row), level, links_);
        std::erase_if(links_, [&](Node link) {
          if (!visited_->visit(static_cast<std::size_t>(link))) return true;
          builder_.pairs_.prefetch(link);
          return false;
        });
        const std::size_t count = links_.size();
        links_.resize(hit_keys_room(count));
        scores_.resize(links_.size());
        query_.compare_roughly(links_.data(), count, scores_.data());
        beam_.offer(scores_.data(), links_.data(), count);
      }
      // The walk goes by half the codes; among its best, all of them decide.
      links_.clear();
      for (std::size_t i = 0; i < beam_.size(); ++i) {
        links_.push_back(static_cast<Node>(beam_[i].row));
      }
      scores_.resize(links_.size());
      query_.compare(links_.data(), links_.size(), scores_.data());
      std::vector<Hit> found;
      for (std::size_t i = 0; i < links_.size(); ++i) found.push_back({scores_[i], links_[i]});
      std::sort(found.begin(), found.end(), Better());
      return found;
    }

    /// Keeps at most so many of the nodes, which come best first: those that are nearer to the node
    /// to be linked than to any kept one, so that links lead in many directions.
    void select(std::vector<Hit>& found, std::size_t most) {
      if (found.size() <= 1) return;
      kept_.clear();
      std::size_t size = 0;
      for (const Hit& each : found) {
        if (size >= most) break;
        const auto node = static_cast<Node>(each.row);
        other_.set(node);
        bool keep = true;
        constexpr std::size_t kAtATime = 4;
        for (std::size_t i = 0; i < kept_.size() && keep; i += kAtATime) {
          const std::size_t count = std::min(kAtATime, kept_.size() - i);
          float scores[kAtATime];
          other_.compare(kept_.data() + i, count, scores);
          for (std::size_t j = 0; j < count; ++j) keep = keep && scores[j] <= each.score;
        }
        if (!keep) continue;
        kept_.push_back(node);
        found[size++] = each;
      }
      found.resize(size);
    }

    void set_links(Node node, int level, const std::vector<Hit>& links) {
      const NodeLocks::Guard guard(builder_.locks_, node);
      write_links(graph_.links(node, level), links);
    }

    static void write_links(std::span<Node> room, const std::vector<Hit>& links) {
      for (std::size_t i = 0; i < room.size(); ++i) {
        room[i] = i < links.size() ? static_cast<Node>(links[i].row) : -1;
      }
    }

    /// Adds a link to owner's, which are chosen anew when there is no room for it.
    void add_link(Node owner, int level, const Hit& link) {
      const NodeLocks::Guard guard(builder_.locks_, owner);
      const std::span<Node> room = graph_.links(owner, level);
      links_.clear();
      for (Node& each : room) {
        if (each < 0) {
          each = static_cast<Node>(link.row);
          return;
        }
        links_.push_back(each);
      }
      owner_.set(owner);
      scores_.resize(links_.size());
      owner_.compare(links_.data(), links_.size(), scores_.data());
      crowd_.assign(1, link);
      for (std::size_t i = 0; i < links_.size(); ++i) crowd_.push_back({scores_[i], links_[i]});
      std::sort(crowd_.begin(), crowd_.end(), Better());
      select(crowd_, room.size());
      write_links(room, crowd_);
    }

    Builder& builder_;
    Graph& graph_;
    Pool<VisitedRows>::Lease visited_;
    CodePairs::Query query_;
    CodePairs::Query owner_;
    CodePairs::Query other_;
    Beam beam_;
    std::vector<Node> links_;
    std::vector<Node> kept_;
    std::vector<Hit> crowd_;
    std::vector<float> scores_;
  };

  /// Makes every node of the lowest level one that links lead to from the entry point. Nodes that
  /// are linked at the same time do not see each other, and a node that chooses its links anew may
  /// drop the last one that led to another.
  void connect() {
    std::vector<bool> reached(graph_.size(), false);
    std::vector<Node> to_go_on_from;
    const auto reach = [&](Node node) {
      if (reached[static_cast<std::size_t>(node)]) return;
      reached[static_cast<std::size_t>(node)] = true;
      to_go_on_from.push_back(node);
    };
    const auto reach_all_from = [&](Node start) {
      reach(start);
      while (!to_go_on_from.empty()) {
        const Node node = to_go_on_from.back();
        to_go_on_from.pop_back();
        for (const Node link : graph_.links(node, 0)) {
          if (link < 0) break;
          reach(link);
        }
      }
    };
    reach_all_from(graph_.entry_point());
    std::optional<Walker> walker;
    for (std::size_t i = 0; i < reached.size(); ++i) {
      if (reached[i]) continue;
      if (!walker) walker.emplace(*this);
      const auto node = static_cast<Node>(i);
      if (walker->link_from_reached(node, reached)) reach_all_from(node);
    }
  }

  Graph& graph_;
  const CodePairs pairs_;
  NodeLocks locks_;
  Pool<VisitedRows> visited_;
};

}  // namespace

void build_graph(Graph& graph, const VectorTable& vectors, const CodeTable& codes,
                 const std::function<void(std::size_t linked)>& on_progress) {
  Builder(graph, vectors, codes).link_all(on_progress);
}

}  // namespace vitrine::index
