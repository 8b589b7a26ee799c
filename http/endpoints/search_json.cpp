#include "http/endpoints/search_json.h"

#include <fmt/format.h>

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "engine/filter/filter_json.h"
#include "http/endpoints/json_views.h"
#include "http/image_text.h"
#include "http/json.h"

namespace vitrine::http {
namespace {

using nlohmann::json;

constexpr int kMaxNprobe = 1'000'000;
constexpr int kMaxEfSearch = 10'000;
constexpr int kMaxRescore = 100;
constexpr std::size_t kMaxVectorValues = 65536;

/// "both" with "caption_weight", the part that captions count.
void read_target(FieldReader& fields, engine::SearchRequest& request) {
  const std::string name = fields.string("target").value_or("image");
  const std::optional<float> caption_weight = fields.number("caption_weight");
  if (name == "both") {
    request.caption_weight = caption_weight.value_or(0.5F);
    return;
  }
  if (caption_weight) {
    throw invalid_argument("\"caption_weight\" needs \"target\": \"both\"");
  }
  if (name != "image" && name != "caption") {
    throw invalid_argument(fmt::format(
        "\"target\" is \"{}\"; it must be \"image\", \"caption\" or \"both\"", printable(name)));
  }
  request.target = name == "image" ? engine::Target::kImage : engine::Target::kCaption;
}

std::vector<float> vector_of(const json& value, const std::string& where) {
  if (!value.is_array() || value.empty() || value.size() > kMaxVectorValues) {
    throw invalid_argument(
        fmt::format("{} must be a list of 1 to {} numbers", where, kMaxVectorValues));
  }
  std::vector<float> vector;
  vector.reserve(value.size());
  for (const json& element : value) {
    if (!element.is_number()) {
      throw invalid_argument(
          fmt::format("{}[{}] is {}; it must be a number", where, vector.size(), type_of(element)));
    }
    vector.push_back(element.get<float>());
  }
  return vector;
}

/// The terms of "query": [{"text": "...", "weight": 1}, {"product_id": "..."}, ...].
std::vector<engine::QueryTerm> read_terms(json list) {
  if (!list.is_array() || list.empty() || list.size() > engine::kMaxTerms) {
    throw invalid_argument(
        fmt::format("\"query\" must be a list of 1 to {} terms, such as "
                    "[{{\"text\": \"a red dress\", \"weight\": 1}}]",
                    engine::kMaxTerms));
  }
  std::vector<engine::QueryTerm> terms;
  for (json& element : list) {
    const std::string where = fmt::format("\"query\"[{}]", terms.size());
    FieldReader fields(std::move(element), where);
    engine::QueryTerm term;
    term.text = fields.string("text");
    if (const auto image = fields.string("image")) {
      term.image_bytes = decode_image_text(*image, where + ".image");
    }
    term.product_id = fields.string("product_id");
    if (const auto vector = fields.value("vector")) {
      term.vector = vector_of(*vector, where + ".vector");
    }
    term.weight = fields.number("weight").value_or(term.weight);
    fields.finish();
    term.validate(where);
    terms.push_back(std::move(term));
  }
  return terms;
}

json facets_json(std::span<const engine::Facet> facets) {
  json answer = json::object();
  for (const engine::Facet& facet : facets) {
    json values = json::array();
    for (const engine::FacetValue& value : facet.values) {
      values.push_back({{"value", engine::value_json(value.value)}, {"count", value.count}});
    }
    answer[facet.field] = std::move(values);
  }
  return answer;
}

json comparison_json(const engine::ExactComparison& comparison) {
  return {{"recall", comparison.recall},
          {"exact_hits", comparison.exact_hits},
          {"missed", comparison.missed},
          {"timings_ms",
           {{"approximate", rounded_ms(comparison.approximate_ms)},
            {"exact", rounded_ms(comparison.exact_ms)}}}};
}

}  // namespace

engine::SearchRequest read_search(const std::string& catalog, json body, const std::string& where,
                                  std::optional<std::string> image_bytes) {
  engine::SearchRequest result;
  result.catalog = catalog;
  result.image_bytes = std::move(image_bytes);
  FieldReader fields(std::move(body), where);
  result.text = fields.string("text");
  if (const auto image = fields.string("image")) {
    result.image_bytes = decode_image_text(*image, "\"image\"");
  }
  result.product_id = fields.string("product_id");
  if (auto query = fields.value("query")) result.terms = read_terms(std::move(*query));
  result.calibrate = fields.boolean("calibrate").value_or(result.calibrate);
  result.limit = fields.integer("limit", 1, engine::kMaxLimit).value_or(result.limit);
  result.exact = fields.boolean("exact").value_or(result.exact);
  result.compare = fields.boolean("compare").value_or(result.compare);
  read_target(fields, result);
  result.min_score = fields.number("min_score");
  result.group_by = fields.string("group_by").value_or("");
  result.cursor = fields.string("cursor");
  result.nprobe = fields.integer("nprobe", 1, kMaxNprobe);
  result.ef_search = fields.integer("ef_search", 1, kMaxEfSearch);
  result.rescore = fields.integer("rescore", 1, kMaxRescore);
  if (const auto filter = fields.value("filter")) {
    result.filter = std::make_shared<const engine::Filter>(engine::filter_from_json(*filter));
  }
  if (auto facets = fields.strings("facets")) result.facets = std::move(*facets);
  fields.finish();

  const int queries = (result.text ? 1 : 0) + (result.image_bytes ? 1 : 0) +
                      (result.product_id ? 1 : 0) + (result.terms.empty() ? 0 : 1);
  if (queries != 1) {
    throw invalid_argument(
        fmt::format("{} has {} of \"text\", \"image\", \"product_id\" and \"query\"; it "
                    "must have exactly one",
                    where, queries == 0 ? "none" : "more than one"));
  }
  return result;
}

json search_json(const engine::SearchRequest& request, const engine::SearchResponse& response) {
  json hits = json::array();
  for (const engine::Hit& hit : response.hits) {
    json product = product_json(request.catalog, hit.product);
    product["score"] = shortest(hit.score);
    hits.push_back(std::move(product));
  }
  json answer = {{"catalog", request.catalog},   {"generation", response.generation},
                 {"index", response.index_kind}, {"exact", response.exact},
                 {"hits", std::move(hits)},      {"timings_ms", timings_json(response.timings)}};
  if (response.matching) answer["matching"] = *response.matching;
  if (!request.facets.empty()) answer["facets"] = facets_json(response.facets);
  if (response.comparison) answer["comparison"] = comparison_json(*response.comparison);
  if (response.truncated) answer["truncated"] = true;
  if (response.next_cursor) answer["next_cursor"] = *response.next_cursor;
  if (!request.terms.empty()) {
    json texts = json::array();
    for (const engine::TextLength& length : response.texts)
      texts.push_back(text_length_json(length));
    answer["texts"] = std::move(texts);
  } else if (!response.texts.empty()) {
    answer["text"] = text_length_json(response.texts.front());
  }
  return answer;
}

}  // namespace vitrine::http
