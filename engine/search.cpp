#include "engine/search.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/sha256.h"
#include "engine/both_targets.h"
#include "engine/catalog.h"
#include "engine/catalog_search.h"
#include "engine/compute_slots.h"
#include "engine/engine.h"
#include "engine/filter/attribute_value.h"
#include "engine/filter/filter_json.h"
#include "engine/result_page.h"
#include "engine/timestamp.h"
#include "engine/vectors.h"

namespace vitrine::engine {
namespace {

using Clock = std::chrono::steady_clock;

/// The query as a list of terms.
std::vector<QueryTerm> terms_of(const SearchRequest& request) {
  if (!request.terms.empty()) return request.terms;
  std::vector<QueryTerm> one(1);
  one[0].text = request.text;
  one[0].image_bytes = request.image_bytes;
  one[0].product_id = request.product_id;
  return one;
}

/// defaults: of the catalog.
index::SearchOptions search_options(const SearchRequest& request,
                                    index::SearchOptions defaults = {}) {
  index::SearchOptions options = defaults;
  options.exact = request.exact;
  if (request.nprobe) options.nprobe = *request.nprobe;
  if (request.ef_search) options.ef_search = *request.ef_search;
  if (request.rescore) options.rescore = *request.rescore;
  return options;
}

/// A given vector as a unit row. where: for messages.
Matrix unit_vector(const std::vector<float>& values, std::size_t dimension,
                   const std::string& where) {
  if (values.size() != dimension) {
    throw invalid_argument(fmt::format("{}: the vector has {} values; the embeddings have {}",
                                       where, values.size(), dimension));
  }
  Matrix matrix(1, dimension);
  std::ranges::copy(values, matrix.row(0).begin());
  if (!normalise_row(matrix.row(0))) {
    throw invalid_argument(where + ": the vector has values that are not finite, or only zeros");
  }
  return matrix;
}

/// A hash of all that decides which hits there are and in which order, so that a cursor continues
/// no search but its own.
std::uint64_t hash_of(const SearchRequest& request, const std::vector<QueryTerm>& terms) {
  Sha256 hash;
  const auto add = [&hash](std::string_view name, const auto& value) {
    const std::string text = fmt::format("{}", value);
    hash.update(fmt::format("{} {}:", name, text.size()));
    hash.update(text);
  };
  for (const QueryTerm& term : terms) {
    add("weight", term.weight);
    if (term.text) add("text", *term.text);
    if (term.image_bytes) add("image", *term.image_bytes);
    if (term.product_id) add("product", *term.product_id);
    if (term.vector) add("vector", fmt::format("{}", fmt::join(*term.vector, ",")));
  }
  add("catalog", request.catalog);
  add("exact", request.exact);
  add("calibrate", request.calibrate);
  add("target", request.target == Target::kImage);
  if (request.caption_weight) add("caption_weight", *request.caption_weight);
  add("group_by", request.group_by);
  if (request.filter) add("filter", filter_json(*request.filter).dump());
  const Sha256Digest digest = hash.finish();
  std::uint64_t number = 0;
  std::memcpy(&number, digest.data(), sizeof(number));
  return number;
}

std::optional<Cursor> cursor_of(const SearchRequest& request, std::uint64_t query_hash) {
  if (!request.cursor) return std::nullopt;
  const Cursor cursor = Cursor::parse(*request.cursor);
  if (cursor.query != query_hash) {
    throw invalid_argument(
        "the cursor belongs to another search; repeat the search that gave it, or leave it out");
  }
  return cursor;
}

/// Whether scores are weighed by a sample of the generation's embeddings.
bool weighs_by_sample(const SearchRequest& request, std::size_t terms) {
  return request.caption_weight.has_value() || (request.calibrate && terms > 1);
}

/// The ranking of a catalog by a query: [1, dimension], unit length. Arguments must outlive it.
RankRows ranking(const Catalog& catalog, const Matrix& query, const SearchRequest& request,
                 const index::SearchOptions& options, const index::RowSet* delta_allowed) {
  if (request.caption_weight) {
    const TargetWeights weights =
        calibrated_weights(query.row(0), *request.caption_weight, catalog.sample(Target::kImage),
                           catalog.sample(Target::kCaption));
    return [&, weights, delta_allowed](std::size_t k) {
      return search_both(catalog, query, k, weights, options, delta_allowed);
    };
  }
  return [&, delta_allowed](std::size_t k) {
    const index::SearchResult found =
        catalog.search(request.target, query, static_cast<int>(k), options, delta_allowed);
    return ranked_rows(found, 0);
  };
}

/// The first scalar of a field, or of its list, as text.
std::optional<std::string> group_at(const nlohmann::json& attributes, const std::string& path) {
  std::optional<std::string> group;
  for_each_at(attributes, path, [&](const nlohmann::json& value) {
    for_each_scalar(value, [&](const AttributeValue& scalar) {
      if (!group) group = value_json(scalar).dump();
    });
  });
  return group;
}

/// catalog must outlive it.
GroupsOf groups_of(const Catalog& catalog, const std::string& path) {
  if (path.empty()) return {};
  return [&catalog, path](std::span<const std::size_t> rows) {
    std::vector<std::optional<std::string>> groups;
    for (const storage::Product& product : catalog.products(rows)) {
      groups.push_back(group_at(product.attributes, path));
    }
    return groups;
  };
}

/// What an answer that has `page` lacks of `exact`, the same page of an exact search.
ExactComparison compare_pages(const Catalog& catalog, const Page& page, const Page& exact) {
  std::set<std::size_t> found;
  for (const RankedRow& hit : page.hits) found.insert(hit.row);
  ExactComparison comparison;
  comparison.exact_hits = exact.hits.size();
  for (const RankedRow& hit : exact.hits) {
    if (!found.contains(hit.row)) comparison.missed.emplace_back(catalog.id(hit.row));
  }
  if (!exact.hits.empty()) {
    comparison.recall =
        1 - static_cast<double>(comparison.missed.size()) / static_cast<double>(exact.hits.size());
  }
  return comparison;
}

}  // namespace

void SearchRequest::validate() const {
  const int given =
      (text ? 1 : 0) + (image_bytes ? 1 : 0) + (product_id ? 1 : 0) + (terms.empty() ? 0 : 1);
  if (given != 1) {
    throw invalid_argument(
        fmt::format("a search needs exactly one of a text, an image, a product id and a list of "
                    "terms; {} were given",
                    given));
  }
  if (terms.size() > kMaxTerms) {
    throw invalid_argument(
        fmt::format("the query has {} terms; at most {} are combined", terms.size(), kMaxTerms));
  }
  if (terms.empty()) terms_of(*this)[0].validate("the query");
  for (std::size_t i = 0; i < terms.size(); ++i) terms[i].validate(fmt::format("query[{}]", i));
  if (limit < 1 || limit > kMaxLimit) {
    throw invalid_argument(
        fmt::format("limit {} is out of range; valid: 1 to {}", limit, kMaxLimit));
  }
  if (caption_weight && !(*caption_weight >= 0 && *caption_weight <= 1)) {
    throw invalid_argument(
        fmt::format("caption_weight {} is out of range; valid: 0 to 1", *caption_weight));
  }
  if (min_score && !std::isfinite(*min_score)) {
    throw invalid_argument("min_score is not a finite number");
  }
  if (group_by.size() > kMaxFieldPathBytes) {
    throw invalid_argument(fmt::format("group_by has {} bytes; an attribute's path has at most {}",
                                       group_by.size(), kMaxFieldPathBytes));
  }
  search_options(*this).validate();
}

std::vector<RankedRow> ranked_rows(const index::SearchResult& found, std::size_t query) {
  std::vector<RankedRow> rows;
  for (std::size_t i = query * found.k; i < (query + 1) * found.k; ++i) {
    if (found.rows[i] == index::kNoRow) break;
    rows.push_back({static_cast<std::size_t>(found.rows[i]), found.scores[i]});
  }
  return rows;
}

CatalogSearch::CatalogSearch(const Catalog& catalog, ComputeSlots& slots,
                             const SearchRequest& request,
                             std::shared_ptr<const AllowedRows> allowed)
    : catalog_(catalog),
      slots_(slots),
      request_(request),
      terms_(terms_of(request)),
      allowed_(std::move(allowed)),
      options_(search_options(request, catalog.request().search)),
      query_hash_(hash_of(request, terms_)),
      after_(cursor_of(request, query_hash_)) {
  const auto start = Clock::now();
  check_group_by(catalog, request.group_by);
  if (after_ && after_->generation != catalog.generation() &&
      weighs_by_sample(request, terms_.size())) {
    throw invalid_argument(
        "the catalog was indexed or merged since the cursor was given, and scores of several terms "
        "or of images and captions are weighed anew then; begin with the first page again");
  }
  for (const QueryTerm& term : terms_) {
    if (term.text) texts_.push_back(*term.text);
    if (term.image_bytes) images_.push_back(*term.image_bytes);
    if (term.product_id) page_.without.insert(catalog.require_row(*term.product_id));
  }
  page_.limit = static_cast<std::size_t>(request.limit);
  page_.min_score = request.min_score;
  page_.after = after_ ? &*after_ : nullptr;
  page_.generation = catalog.generation();
  if (request.filter || !request.facets.empty()) {
    const ComputeSlots::Slot slot(slots);
    if (!allowed_) {
      const Filter everything;
      allowed_ = std::make_shared<const AllowedRows>(
          allowed_rows(catalog, request.filter ? *request.filter : everything));
    }
    response_.matching = allowed_->count;
    response_.facets = count_facets(catalog, *allowed_, request.facets);
    response_.timings.filter_ms = milliseconds_since(start);
    options_.allowed = &allowed_->base;
  }
}

void CatalogSearch::embed(EncodedTexts&& texts, const Matrix& images) {
  Matrix embeddings(terms_.size(), catalog_.dimension());
  std::vector<float> weights;
  std::size_t text = 0;
  std::size_t image = 0;
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    const QueryTerm& term = terms_[i];
    weights.push_back(term.weight);
    const auto row = embeddings.row(i).begin();
    if (term.text) {
      std::ranges::copy(texts.embeddings.row(text++), row);
    } else if (term.image_bytes) {
      std::ranges::copy(images.row(image++), row);
    } else if (term.product_id) {
      const std::size_t product = catalog_.require_row(*term.product_id);
      std::ranges::copy(catalog_.vector(Target::kImage, product), row);
    } else {
      std::ranges::copy(
          unit_vector(*term.vector, catalog_.dimension(), fmt::format("query[{}]", i)).row(0), row);
    }
  }
  response_.texts = std::move(texts.lengths);

  if (terms_.size() == 1 && weights[0] > 0) {
    query_ = std::move(embeddings);
  } else {
    const bool calibrate = request_.calibrate && terms_.size() > 1;
    query_ = combine_terms(embeddings, weights,
                           calibrate ? catalog_.sample(request_.target) : MatrixView());
  }
}

SearchResponse CatalogSearch::finish(const std::vector<RankedRow>* first) {
  const auto start = Clock::now();
  const ComputeSlots::Slot slot(slots_);
  const GroupsOf groups = groups_of(catalog_, request_.group_by);
  const RankRows rank = ranking(catalog_, query_, request_, options_, delta_allowed());
  const RankRows begin_with_first = [&](std::size_t k) {
    return first != nullptr && k == first_k() ? *first : rank(k);
  };
  const Page page = take_page(page_, kMaxRank, begin_with_first, groups);
  const double approximate_ms = milliseconds_since(start);
  std::vector<std::size_t> rows;
  for (const RankedRow& hit : page.hits) rows.push_back(hit.row);
  std::vector<storage::Product> products = catalog_.products(rows);
  response_.hits.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    response_.hits.push_back({std::move(products[i]), std::clamp(page.hits[i].score, -1.0F, 1.0F)});
  }
  if (page.more) {
    response_.next_cursor = Cursor{query_hash_, catalog_.generation(), page.hits.back().row,
                                   page.hits.back().score, catalog_.rows()}
                                .to_string();
  }
  response_.truncated = page.cut && catalog_.size() > std::size_t{kMaxRank};
  response_.timings.search_ms = milliseconds_since(start);
  if (request_.compare) {
    const auto exact_start = Clock::now();
    index::SearchOptions exactly = options_;
    exactly.exact = true;
    const Page exact = take_page(
        page_, kMaxRank, ranking(catalog_, query_, request_, exactly, delta_allowed()), groups);
    const double exact_ms = milliseconds_since(exact_start);
    response_.comparison = compare_pages(catalog_, page, exact);
    response_.comparison->approximate_ms = approximate_ms;
    response_.comparison->exact_ms = exact_ms;
  }
  response_.index_kind = catalog_.index_kind();
  response_.exact = request_.exact || response_.index_kind == "flat";
  response_.generation = catalog_.generation();
  response_.sequence = catalog_.sequence();
  return std::move(response_);
}

SearchResponse search_catalog(const Engine& engine, const Catalog& catalog, ComputeSlots& slots,
                              const SearchRequest& request) {
  const auto start = Clock::now();
  CatalogSearch search(catalog, slots, request);
  const auto encode_start = Clock::now();
  search.embed(engine.encode_texts(search.texts()), engine.encode_images(search.images()));
  const double encode_ms = milliseconds_since(encode_start);
  SearchResponse response = search.finish();
  response.timings.encode_ms = encode_ms;
  response.timings.total_ms = milliseconds_since(start);
  return response;
}

}  // namespace vitrine::engine
