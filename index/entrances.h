#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "index/graph.h"
#include "index/large_array.h"
#include "index/leading_codes.h"
#include "index/top_k.h"

namespace vitrine::index {

/// Where walks through a graph begin whose nodes have leading codes. Going down from level to level
/// waits for the memory at each step, several times. Here a level of few nodes is compared with the
/// query from end to end, and then the nodes of the level below it that are nearest to the best of
/// those, which lie side by side. Those near other centres would make walks no shorter.
/// Immutable; any thread may read.
class Entrances {
 public:
  /// None.
  Entrances() = default;
  /// codes: of the nodes; not empty().
  Entrances(const Graph& graph, const LeadingCodes& codes);

  std::size_t heap_bytes() const;
  /// That the nodes are on.
  int level() const { return level_; }
  /// The best node by rough scores, or one that is hardly worse, with its score.
  Hit nearest(const LeadingQuery& query) const;

 private:
  /// Nodes with their codes.
  struct Nodes {
    Nodes() = default;
    Nodes(std::vector<Graph::Node> some, const LeadingCodes& of);

    std::size_t size() const { return nodes.size(); }
    /// Rough scores of some: [count].
    void score(const LeadingQuery& query, std::size_t first, std::size_t count,
               float* scores) const;

    std::vector<Graph::Node> nodes;
    LargeArray<std::uint8_t> codes;  // [size(), kByteRow]
    std::vector<float> scales;       // [size()]
  };

  int level_ = 0;
  Nodes centres_;                    // of a level of few nodes; each has members
  Nodes members_;                    // of the level below, by nearest centre
  std::vector<std::size_t> begins_;  // [centres_.size() + 1] of the members of each
};

}  // namespace vitrine::index
