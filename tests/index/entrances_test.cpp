#include "index/entrances.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "index/codes.h"
#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

TEST(Entrances, LeadToTheBestNodeOfTheirLevelOrToOneNearIt) {
  for (const std::size_t rows : {5000, 20000}) {
    const Matrix vectors = narrow_vectors(rows, 96, 1);
    const Matrix queries = narrow_vectors(200, 96, 2);
    const CodeTable codes(one_block(vectors.data(), rows, 96));
    const LeadingCodes& leading = codes.leading();
    Graph graph(rows, 16, 100);
    for (std::size_t node = 0; node < rows; ++node) {
      if (graph.level_of(static_cast<Graph::Node>(node)) > graph.top_level()) {
        graph.set_entry_point(static_cast<Graph::Node>(node));
      }
    }
    const Entrances entrances(graph, leading);
    ASSERT_LT(entrances.level(), graph.top_level());
    std::size_t best_found = 0;
    for (std::size_t i = 0; i < queries.rows(); ++i) {
      const LeadingQuery query = codes.encode_query(queries.row(i).data()).leading;
      const auto score_of = [&](std::size_t node) {
        std::int32_t product = 0;
        byte_dot_kernel().contiguous(query.high.data(), leading.codes() + node * kByteRow, 1,
                                     &product);
        return query.rough_score().of(product, leading.scales()[node]);
      };
      float best = -2;
      for (std::size_t node = 0; node < rows; ++node) {
        if (graph.level_of(static_cast<Graph::Node>(node)) < entrances.level()) continue;
        best = std::max(best, score_of(node));
      }
      const Hit found = entrances.nearest(query);
      EXPECT_GE(graph.level_of(static_cast<Graph::Node>(found.row)), entrances.level());
      EXPECT_EQ(found.score, score_of(static_cast<std::size_t>(found.row)));
      EXPECT_GE(found.score, best - 0.3F);
      best_found += found.score == best ? 1 : 0;
    }
    EXPECT_GE(best_found, 60U) << rows;
  }
}

TEST(Entrances, AreFoundInAGraphOfOneLevel) {
  const Matrix vectors = narrow_vectors(5000, 96, 1);
  const CodeTable codes(one_block(vectors.data(), 5000, 96));
  Graph graph(5000, 16, 100);
  graph.set_entry_point(0);
  while (graph.level_of(graph.entry_point()) != 0) graph.set_entry_point(graph.entry_point() + 1);
  const Entrances entrances(graph, codes.leading());
  EXPECT_EQ(entrances.level(), 0);
  const QueryCode query = codes.encode_query(vectors.row(4321).data());
  EXPECT_GE(entrances.nearest(query.leading).score, 0.9F);
}

}  // namespace
}  // namespace vitrine::index
