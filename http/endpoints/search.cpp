#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "engine/engine.h"
#include "engine/filter/filter_json.h"
#include "http/base64.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/json_views.h"
#include "http/json.h"
#include "http/multipart.h"
#include "http/problem.h"

namespace vitrine::http {
namespace {

using nlohmann::json;

constexpr int kMaxNprobe = 1'000'000;
constexpr int kMaxEfSearch = 10'000;
constexpr std::size_t kMaxVectorValues = 65536;

/// The text of a form field as the JSON value that the field has in a JSON request.
json form_value(const std::string& name, std::string_view text) {
  if (const auto offset = find_invalid_utf8(text)) {
    throw invalid_argument(
        fmt::format("the form field \"{}\" is not valid UTF-8 at byte {}", name, *offset));
  }
  if (name == "exact" || name == "calibrate" || name == "compare") {
    if (text == "true") return true;
    if (text == "false") return false;
  }
  if (name == "limit" || name == "nprobe" || name == "ef_search") {
    int number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return number;
  }
  if (name == "filter" || name == "facets") {
    return vitrine::parse_json(text, fmt::format("the form field \"{}\"", name));
  }
  if (name == "min_score" || name == "caption_weight") {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return number;
  }
  return text;
}

/// The form as a JSON request without its image, and the image's bytes.
json read_form(const Request& request, std::optional<std::string>& image_bytes) {
  json fields = json::object();
  for (const FormPart& part : parse_multipart(request.header("content-type"), request.body)) {
    if (part.name == "image") {
      if (part.content.empty()) {
        throw invalid_argument("the form field \"image\" is empty; attach an image file");
      }
      image_bytes = std::string(part.content);
    } else if (part.file_name) {
      throw invalid_argument(
          fmt::format("the form has a file in the field \"{}\"; a file is taken in \"image\" only",
                      printable(part.name)));
    } else {
      fields[part.name] = form_value(part.name, part.content);
    }
  }
  return fields;
}

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

engine::SearchRequest read_request(const Request& request) {
  engine::SearchRequest result;
  result.catalog = request.path_parameter("catalog");
  const std::string type = media_type(request.header("content-type"));
  json body;
  if (type == "multipart/form-data") {
    body = read_form(request, result.image_bytes);
  } else if (type == "application/json") {
    body = parse_json(request.body);
  } else {
    throw HttpError(415, "unsupported_media_type",
                    fmt::format("Content-Type is \"{}\"; send application/json (curl -H "
                                "'Content-Type: application/json') or multipart/form-data (curl "
                                "-F image=@file)",
                                printable(type)));
  }

  FieldReader fields(std::move(body), "the search request");
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
  if (const auto filter = fields.value("filter")) {
    result.filter = std::make_shared<const engine::Filter>(engine::filter_from_json(*filter));
  }
  if (auto facets = fields.strings("facets")) result.facets = std::move(*facets);
  fields.finish();

  const int queries = (result.text ? 1 : 0) + (result.image_bytes ? 1 : 0) +
                      (result.product_id ? 1 : 0) + (result.terms.empty() ? 0 : 1);
  if (queries != 1) {
    throw invalid_argument(fmt::format(
        "the search request has {} of \"text\", \"image\", \"product_id\" and \"query\"; it "
        "must have exactly one",
        queries == 0 ? "none" : "more than one"));
  }
  return result;
}

}  // namespace

Response search(const Services& services, const Request& request) {
  const engine::SearchRequest query = read_request(request);
  const engine::SearchResponse found = services.engine.search(query);
  json hits = json::array();
  for (const engine::Hit& hit : found.hits) {
    json product = product_json(query.catalog, hit.product);
    product["score"] = shortest(hit.score);
    hits.push_back(std::move(product));
  }
  json answer = {{"catalog", query.catalog},  {"generation", found.generation},
                 {"index", found.index_kind}, {"exact", found.exact},
                 {"hits", std::move(hits)},   {"timings_ms", timings_json(found.timings)}};
  if (found.matching) answer["matching"] = *found.matching;
  if (!query.facets.empty()) answer["facets"] = facets_json(found.facets);
  if (found.comparison) answer["comparison"] = comparison_json(*found.comparison);
  if (found.next_cursor) answer["next_cursor"] = *found.next_cursor;
  if (!query.terms.empty()) {
    json texts = json::array();
    for (const engine::TextLength& length : found.texts) texts.push_back(text_length_json(length));
    answer["texts"] = std::move(texts);
  } else if (!found.texts.empty()) {
    answer["text"] = text_length_json(found.texts.front());
  }
  return json_response(answer);
}

}  // namespace vitrine::http
