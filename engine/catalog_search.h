#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "engine/allowed_rows.h"
#include "engine/catalog.h"
#include "engine/compute_slots.h"
#include "engine/engine.h"
#include "engine/result_page.h"
#include "engine/search.h"

namespace vitrine::engine {

/// The hits of one query of several.
std::vector<RankedRow> ranked_rows(const index::SearchResult& found, std::size_t query);

/// A search on its way, in steps, so that a batch can take a step for several at once: construct,
/// embed(), finish(). Not thread-safe.
class CatalogSearch {
 public:
  /// Finds and counts what the filter lets through, before anything waits for the encoder.
  /// Throws InvalidArgument for a field that no product has.
  /// request: valid. allowed: what a search with the same filter found, if it is known. All but
  /// `allowed` must outlive the search.
  CatalogSearch(const Catalog& catalog, ComputeSlots& slots, const SearchRequest& request,
                std::shared_ptr<const AllowedRows> allowed = nullptr);
  CatalogSearch(const CatalogSearch&) = delete;
  CatalogSearch& operator=(const CatalogSearch&) = delete;

  // What is to be encoded, in the order of the query's terms.
  const std::vector<std::string>& texts() const { return texts_; }
  const std::vector<std::string>& images() const { return images_; }

  /// Makes the query of embeddings, unit rows. texts: [texts().size(), dimension] and as many
  /// lengths; images: [images().size(), dimension].
  void embed(EncodedTexts&& texts, const Matrix& images);

  // The ranking that finish() begins with, for a batch that ranks for several searches together:
  // the first_k() best rows of catalog.search(target, query(), ..., options(), delta_allowed()).

  /// False: the ranking is of both targets together.
  bool ranks_one_target() const { return !request_.caption_weight; }
  const Matrix& query() const { return query_; }
  std::size_t first_k() const { return first_rank(page_, kMaxRank); }
  const index::SearchOptions& options() const { return options_; }
  const std::shared_ptr<const AllowedRows>& allowed() const { return allowed_; }
  const index::RowSet* delta_allowed() const { return allowed_ ? &allowed_->delta : nullptr; }
  const SearchRequest& request() const { return request_; }

  /// The answer. first: the ranking it begins with, if it is known.
  SearchResponse finish(const std::vector<RankedRow>* first = nullptr);

 private:
  const Catalog& catalog_;
  ComputeSlots& slots_;
  const SearchRequest& request_;
  const std::vector<QueryTerm> terms_;
  std::vector<std::string> texts_;
  std::vector<std::string> images_;
  std::shared_ptr<const AllowedRows> allowed_;  // null: all rows
  index::SearchOptions options_;
  std::uint64_t query_hash_ = 0;
  std::optional<Cursor> after_;
  PageRequest page_;
  Matrix query_;  // [1, dimension], unit length
  SearchResponse response_;
};

}  // namespace vitrine::engine
