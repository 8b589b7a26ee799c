#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/search_json.h"
#include "http/json.h"
#include "http/problem.h"

namespace vitrine::http {
namespace {

using nlohmann::json;

/// Hits that all searches of a batch may ask for together: an answer of as many products with
/// all their attributes is built in memory.
constexpr int kMaxBatchHits = 10'000;

json problem(const Error& error, const Request& request) {
  return {{"problem", problem_json(error, request.id)}};
}

json read_searches(const Request& request) {
  FieldReader fields(parse_json_body(request), "the request");
  auto searches = fields.value("searches");
  fields.finish();
  if (!searches || !searches->is_array() || searches->empty() ||
      searches->size() > engine::kMaxBatchSearches) {
    throw invalid_argument(fmt::format(
        "the request must have \"searches\", an array of 1 to {} objects, each as the body of a "
        "search",
        engine::kMaxBatchSearches));
  }
  return std::move(*searches);
}

}  // namespace

Response search_batch(const Services& services, const Request& request) {
  const std::string& catalog = request.path_parameter("catalog");
  json searches = read_searches(request);
  json results(searches.size(), json());  // an array
  std::vector<engine::SearchRequest> batch;
  std::vector<std::size_t> places;  // of the batch's searches among all
  int hits = 0;
  // Equal filters are one, so that what they let through is found once. By their text: numbers that
  // are not the same to a filter are equal to json.
  std::map<std::string, std::shared_ptr<const engine::Filter>> filters;
  for (std::size_t i = 0; i < searches.size(); ++i) {
    try {
      const auto found = searches[i].find("filter");
      const std::string filter = found == searches[i].end() ? std::string() : found->dump();
      engine::SearchRequest search =
          read_search(catalog, std::move(searches[i]), fmt::format("\"searches\"[{}]", i));
      search.filter = filters.try_emplace(filter, search.filter).first->second;
      hits += search.limit;
      batch.push_back(std::move(search));
      places.push_back(i);
    } catch (const Error& error) {
      results[i] = problem(error, request);
    }
  }
  if (hits > kMaxBatchHits) {
    throw invalid_argument(fmt::format(
        "the searches ask for {} hits together; at most {} are allowed", hits, kMaxBatchHits));
  }
  const std::vector<engine::SearchOutcome> outcomes = services.engine.search_batch(catalog, batch);
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const auto* const response = std::get_if<engine::SearchResponse>(&outcomes[i]);
    results[places[i]] = response != nullptr ? search_json(batch[i], *response)
                                             : problem(std::get<Error>(outcomes[i]), request);
  }
  return json_response({{"catalog", catalog}, {"results", std::move(results)}});
}

}  // namespace vitrine::http
