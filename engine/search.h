#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "engine/allowed_rows.h"
#include "engine/query.h"
#include "engine/target.h"
#include "engine/text_length.h"
#include "index/vector_index.h"
#include "storage/product.h"

namespace vitrine::engine {

class Catalog;
class ComputeSlots;
class Engine;

/// Most hits a search returns.
inline constexpr int kMaxLimit = 1000;
/// Most searches of a batch.
inline constexpr std::size_t kMaxBatchSearches = 100;
/// How deep pages reach.
inline constexpr int kMaxRank = index::kMaxK;

/// Exactly one of text, image_bytes, product_id and terms is set.
struct SearchRequest {
  std::string catalog;
  std::optional<std::string> text;         ///< UTF-8, not blank; tokens beyond the context are cut
  std::optional<std::string> image_bytes;  ///< an encoded image file (PNG, JPEG, ...)
  /// Products like this one: its image embedding is the query. It is itself never among the hits.
  std::optional<std::string> product_id;
  /// Several of these at once, or a vector; [0, kMaxTerms]. The products that terms name are never
  /// among the hits. Scores are cosines with the combined query (combine_terms()).
  std::vector<QueryTerm> terms;
  /// Whether terms are weighed against how far each one's cosines spread in this catalog.
  bool calibrate = true;
  int limit = 10;      ///< hits wanted, [1, kMaxLimit]
  bool exact = false;  ///< true: compare with every product, whatever the index kind
  /// Searches exactly as well, and says which of those hits the answer has. Costs an exact search.
  bool compare = false;
  Target target = Target::kImage;
  /// Set: images and captions are searched together, whatever target is, and captions count this
  /// part, [0, 1], of a hit's score (search_both()).
  std::optional<float> caption_weight;
  std::optional<float> min_score;  ///< hits below are left out; finite
  /// Path of an attribute, such as "brand" or "maker.name": only the best hit of each of its values
  /// is one. Products without it, or whose value is no scalar, never give way. Empty: every hit.
  std::string group_by;
  /// SearchResponse::next_cursor of the page before; everything else as it was then, but for limit.
  /// Refused for calibrated terms and for images with captions once there is another generation.
  std::optional<std::string> cursor;
  // Absent: as the catalog was tuned (tuning.h), else as index::SearchOptions says.
  std::optional<int> nprobe;     ///< ivf, ivf_pq: lists visited; more is slower and finds more
  std::optional<int> ef_search;  ///< hnsw: beam width; more is slower and finds more
  std::optional<int> rescore;    ///< ivf_pq: vectors compared a hit; more is slower and finds more
  std::shared_ptr<const Filter> filter;  ///< only products that pass are hits; null: all
  /// Fields whose values are counted among the products that pass; at most kMaxFacets.
  std::vector<std::string> facets;

  /// Throws InvalidArgument that names the field.
  void validate() const;
};

struct Hit {
  storage::Product product;
  float score = 0;  ///< cosine, in [-1, 1]; higher is better
};

struct SearchTimings {
  double encode_ms = 0;  ///< decoding, tokenizing and encoding the query, and waiting for its turn
  double search_ms = 0;  ///< the index and the product records
  double filter_ms = 0;  ///< finding and counting the products that pass the filter; 0 without
  double total_ms = 0;
};

/// How the hits of an answer compare with those of the same request with `exact`: the same page,
/// filter, groups and scores.
struct ExactComparison {
  std::size_t exact_hits = 0;       ///< of the exact search's page
  std::vector<std::string> missed;  ///< ids of those that the answer lacks, best first
  double recall = 1;                ///< part of them that it has; 1 when there are none
  double approximate_ms = 0;        ///< ranking rows as the answer has them
  double exact_ms = 0;              ///< ranking them exactly
};

struct SearchResponse {
  std::vector<Hit> hits;  ///< best first; fewer than limit when there are no more
  /// Where the next page begins. Absent when no hit follows, or none among the kMaxRank best. Pages
  /// repeat no hit; while the catalog is changed they may miss what moved before their end.
  std::optional<std::string> next_cursor;
  /// Whether hits follow that are not among the kMaxRank best, which no page reaches.
  bool truncated = false;
  SearchTimings timings;
  std::string index_kind;
  bool exact = false;             ///< whether every product was compared
  std::uint64_t generation = 0;   ///< the one that was searched
  std::uint64_t sequence = 0;     ///< the last update that was searched
  std::vector<TextLength> texts;  ///< of the query, in its order
  /// Products that pass the filter, hits or not; nothing without a filter or facets.
  std::optional<std::size_t> matching;
  std::vector<Facet> facets;                  ///< in the order of the request's
  std::optional<ExactComparison> comparison;  ///< when asked for; search_ms is without it
};

/// The answer of a search, or why there is none.
using SearchOutcome = std::variant<SearchResponse, Error>;

/// Answers a valid request from one snapshot of its catalog. engine encodes the query's texts and
/// images; slots bound how many searches compute at once. Errors: see Engine.
SearchResponse search_catalog(const Engine& engine, const Catalog& catalog, ComputeSlots& slots,
                              const SearchRequest& request);
/// The same for a batch, whose requests need not be valid. See Engine::search_batch().
std::vector<SearchOutcome> search_batch(const Engine& engine, const Catalog& catalog,
                                        ComputeSlots& slots,
                                        std::span<const SearchRequest> requests);

}  // namespace vitrine::engine
