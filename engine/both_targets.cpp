#include "engine/both_targets.h"

#include <algorithm>
#include <unordered_map>

#include "engine/query.h"
#include "engine/vectors.h"

namespace vitrine::engine {
namespace {

/// The index's scores and the sums here are rounded differently.
constexpr float kRounding = 1e-5F;

/// The weighted sum of a row's two cosines; each is computed once.
class Scores {
 public:
  Scores(const Catalog& catalog, std::span<const float> query, const TargetWeights& weights)
      : catalog_(catalog), query_(query), weights_(weights) {}

  float of(std::size_t row) {
    const auto [place, is_new] = scores_.try_emplace(row, 0.0F);
    if (is_new) {
      place->second = weights_.image * dot(query_, catalog_.vector(Target::kImage, row)) +
                      weights_.caption * dot(query_, catalog_.vector(Target::kCaption, row));
    }
    return place->second;
  }
  const std::unordered_map<std::size_t, float>& all() const { return scores_; }

 private:
  const Catalog& catalog_;
  const std::span<const float> query_;
  const TargetWeights weights_;
  std::unordered_map<std::size_t, float> scores_;
};

bool better(const RankedRow& a, const RankedRow& b) {
  return a.score > b.score || (a.score == b.score && a.row < b.row);
}

}  // namespace

TargetWeights calibrated_weights(std::span<const float> query, float caption_weight,
                                 MatrixView image_sample, MatrixView caption_sample) {
  const double image = (1 - caption_weight) / cosine_deviation(query, image_sample);
  const double caption = caption_weight / cosine_deviation(query, caption_sample);
  return {static_cast<float>(image / (image + caption)),
          static_cast<float>(caption / (image + caption))};
}

std::vector<RankedRow> search_both(const Catalog& catalog, MatrixView query, std::size_t k,
                                   const TargetWeights& weights,
                                   const index::SearchOptions& options,
                                   const index::RowSet* delta_allowed) {
  constexpr std::size_t kGrowth = 4;
  Scores scores(catalog, query.row(0), weights);
  std::size_t depth = std::min<std::size_t>(2 * k, index::kMaxK);
  for (;;) {
    bool all_seen = false;
    float threshold = 0;  // what a row that neither ranking has reached can have at most
    for (const auto& [target, weight] :
         {std::pair(Target::kImage, weights.image), std::pair(Target::kCaption, weights.caption)}) {
      const index::SearchResult ranking =
          catalog.search(target, query, static_cast<int>(depth), options, delta_allowed);
      for (std::size_t i = 0; i < ranking.k; ++i) {
        if (ranking.rows[i] == index::kNoRow) {
          all_seen = true;
          break;
        }
        scores.of(static_cast<std::size_t>(ranking.rows[i]));
      }
      if (!all_seen) threshold += weight * ranking.scores[ranking.k - 1];
    }
    std::vector<RankedRow> best;
    for (const auto& [row, score] : scores.all()) best.push_back({row, score});
    const std::size_t count = std::min(k, best.size());
    std::partial_sort(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(count), best.end(),
                      better);
    best.resize(count);
    const bool proven = count == k && best.back().score > threshold + kRounding;
    if (all_seen || proven || depth == index::kMaxK) return best;
    depth = std::min<std::size_t>(kGrowth * depth, index::kMaxK);
  }
}

}  // namespace vitrine::engine
