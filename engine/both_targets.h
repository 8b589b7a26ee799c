#pragma once

#include <vector>

#include "base/matrix.h"
#include "engine/catalog.h"
#include "engine/result_page.h"
#include "index/vector_index.h"

namespace vitrine::engine {

/// How much each of a product's two embeddings counts; they sum to 1, neither is negative.
struct TargetWeights {
  float image = 0.5F;
  float caption = 0.5F;
};

/// A text's cosines with captions spread several times as far as those with images. These weights
/// give a part of `caption_weight`, in [0, 1], to captions after dividing each target's cosines by
/// their standard deviation over the samples: [n, dimension] unit rows each, n at least 1.
TargetWeights calibrated_weights(std::span<const float> query, float caption_weight,
                                 MatrixView image_sample, MatrixView caption_sample);

/// The k best live rows by the weighted sum of the query's cosines with image and caption, best
/// first, equal scores by ascending row. Exact when options.exact is: the rankings of both targets
/// are read as far as a row beyond them could still be among the best (Fagin's threshold
/// algorithm, R. Fagin, A. Lotem, M. Naor, "Optimal aggregation algorithms for middleware", 2003),
/// at most index::kMaxK rows each.
/// query: [1, dimension], unit length. k: [1, index::kMaxK].
std::vector<RankedRow> search_both(const Catalog& catalog, MatrixView query, std::size_t k,
                                   const TargetWeights& weights,
                                   const index::SearchOptions& options,
                                   const index::RowSet* delta_allowed = nullptr);

}  // namespace vitrine::engine
