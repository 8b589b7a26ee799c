#include "index/entrances.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "index/kernels/byte_dot.h"

namespace vitrine::index {
namespace {

/// Nodes of a level of few.
constexpr std::size_t kFew = 512;
constexpr float kLeast = -std::numeric_limits<float>::infinity();

using Elements = std::array<float, kByteRow>;

/// A node along the axes.
Elements elements_of(const LeadingCodes& codes, Graph::Node node) {
  const auto place = static_cast<std::size_t>(node);
  Elements elements;
  LeadingCodes::decode(codes.codes() + place * kByteRow, codes.scales()[place], elements.data());
  return elements;
}

float distance(const Elements& a, const Elements& b) {
  float square = 0;
  for (std::size_t i = 0; i < kByteRow; ++i) square += (a[i] - b[i]) * (a[i] - b[i]);
  return square;
}

std::vector<Graph::Node> nodes_on(const Graph& graph, int level) {
  std::vector<Graph::Node> nodes;
  for (std::size_t i = 0; i < graph.size(); ++i) {
    const auto node = static_cast<Graph::Node>(i);
    if (graph.level_of(node) >= level) nodes.push_back(node);
  }
  return nodes;
}

/// The number of the largest, the first of equal ones. count: at least 1.
std::size_t number_of_largest(const float* scores, std::size_t count) {
  float largest = scores[0];
#pragma omp simd reduction(max : largest)
  for (std::size_t i = 0; i < count; ++i) largest = scores[i] > largest ? scores[i] : largest;
  return static_cast<std::size_t>(std::find(scores, scores + count, largest) - scores);
}

}  // namespace

Entrances::Nodes::Nodes(std::vector<Graph::Node> some, const LeadingCodes& of)
    : nodes(std::move(some)), codes(nodes.size() * kByteRow) {
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const auto place = static_cast<std::size_t>(nodes[i]);
    std::copy_n(of.codes() + place * kByteRow, kByteRow, codes.data() + i * kByteRow);
    scales.push_back(of.scales()[place]);
  }
}

Entrances::Entrances(const Graph& graph, const LeadingCodes& codes) {
  int level = graph.top_level();
  std::vector<Graph::Node> centres = nodes_on(graph, level);
  while (level > 0) {
    std::vector<Graph::Node> below = nodes_on(graph, level - 1);
    if (below.size() > kFew) break;
    centres = std::move(below);
    --level;
  }
  level_ = std::max(0, level - 1);
  // As of a graph that has one level, which drawing lots hardly ever makes of many nodes.
  centres.resize(std::min(centres.size(), kFew));

  std::vector<Elements> centre_elements;
  for (const Graph::Node centre : centres) centre_elements.push_back(elements_of(codes, centre));
  std::vector<std::pair<std::size_t, Graph::Node>> members;  // with their centres
  for (const Graph::Node member : nodes_on(graph, level_)) {
    const Elements own = elements_of(codes, member);
    std::size_t nearest = 0;
    float least = std::numeric_limits<float>::infinity();
    for (std::size_t i = 0; i < centres.size(); ++i) {
      const float square = distance(own, centre_elements[i]);
      if (square >= least) continue;
      least = square;
      nearest = i;
    }
    members.emplace_back(nearest, member);
  }
  std::sort(members.begin(), members.end());
  // A centre that equals another may have no members.
  std::vector<Graph::Node> kept;
  std::vector<Graph::Node> nodes;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (i == 0 || members[i].first != members[i - 1].first) {
      kept.push_back(centres[members[i].first]);
      begins_.push_back(i);
    }
    nodes.push_back(members[i].second);
  }
  begins_.push_back(members.size());
  centres_ = Nodes(std::move(kept), codes);
  members_ = Nodes(std::move(nodes), codes);
}

void Entrances::Nodes::score(const LeadingQuery& query, std::size_t first, std::size_t count,
                             float* scores) const {
  byte_dot_kernel().contiguous_scores(query.high.data(), query.rough_score(),
                                      codes.data() + first * kByteRow, scales.data() + first, count,
                                      scores);
}

std::size_t Entrances::heap_bytes() const {
  return (centres_.size() + members_.size()) * (sizeof(Graph::Node) + kByteRow + sizeof(float));
}

Hit Entrances::nearest(const LeadingQuery& query) const {
  float scores[kFew];
  centres_.score(query, 0, centres_.size(), scores);
  const std::size_t centre = number_of_largest(scores, centres_.size());
  Hit nearest{kLeast, members_.nodes[begins_[centre]]};
  for (std::size_t first = begins_[centre]; first < begins_[centre + 1]; first += kFew) {
    const std::size_t count = std::min(kFew, begins_[centre + 1] - first);
    members_.score(query, first, count, scores);
    const std::size_t best = number_of_largest(scores, count);
    if (scores[best] > nearest.score) nearest = {scores[best], members_.nodes[first + best]};
  }
  return nearest;
}

}  // namespace vitrine::index
