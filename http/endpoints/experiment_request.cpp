#include "http/endpoints/experiment_request.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/text.h"

namespace vitrine::http {
namespace {

using engine::QuerySource;
using nlohmann::json;

/// Texts are encoded while the client waits.
constexpr std::size_t kMaxTexts = 1000;
constexpr int kMaxProducts = 2'000'000'000;

QuerySource source_of(const std::string& name) {
  for (const QuerySource source :
       {QuerySource::kImages, QuerySource::kCaptions, QuerySource::kBoth}) {
    if (name == engine::to_string(source)) return source;
  }
  throw invalid_argument(fmt::format(
      "\"queries\" is \"{}\"; it must be \"images\", \"captions\" or \"both\", or be left out "
      "beside \"texts\"",
      printable(name)));
}

/// {"nlist": [100, 400], ...}
std::map<std::string, std::vector<int>, std::less<>> read_values(const json& object) {
  std::map<std::string, std::vector<int>, std::less<>> values;
  if (!object.is_object()) {
    throw invalid_argument(
        "\"parameters\" must be an object such as {\"ef_search\": [32, 64, 128]}");
  }
  for (const auto& [name, list] : object.items()) {
    std::vector<int>& numbers = values[name];
    const std::string where = fmt::format("\"parameters\".{}", printable(name));
    if (!list.is_array() || list.size() > engine::kMaxMeasurements) {
      throw invalid_argument(where + " must be a list of integers");
    }
    for (const json& number : list) {
      const std::optional<std::int64_t> value = integer_of(number);
      if (!value || *value < -kMaxProducts || *value > kMaxProducts) {
        throw invalid_argument(where + " must hold nothing but integers");
      }
      numbers.push_back(static_cast<int>(*value));
    }
  }
  return values;
}

}  // namespace

engine::ExperimentRequest read_experiment(FieldReader& fields, const std::string& catalog) {
  engine::ExperimentRequest request;
  request.catalog = catalog;
  const auto queries = fields.string("queries");
  if (auto texts = fields.strings("texts")) {
    if (queries) throw invalid_argument("\"queries\" and \"texts\" exclude each other");
    if (texts->empty() || texts->size() > kMaxTexts) {
      throw invalid_argument(
          fmt::format("\"texts\" holds {} texts; it must hold 1 to {}", texts->size(), kMaxTexts));
    }
    request.source = QuerySource::kTexts;
    request.texts = std::move(*texts);
  } else if (queries) {
    request.source = source_of(*queries);
  }
  request.queries =
      fields.integer("query_count", 1, engine::kMaxExperimentQueries).value_or(request.queries);
  request.k = fields.integer("k", 1, engine::kMaxExperimentK).value_or(request.k);
  request.max_products =
      static_cast<std::size_t>(fields.integer("max_products", 0, kMaxProducts).value_or(0));
  if (const auto target = fields.string("target")) {
    if (*target != "image" && *target != "caption") {
      throw invalid_argument(fmt::format(
          "\"target\" is \"{}\"; it must be \"image\" or \"caption\"", printable(*target)));
    }
    request.target = *target == "image" ? engine::Target::kImage : engine::Target::kCaption;
  }
  if (auto kinds = fields.strings("kinds")) request.grid.kinds = std::move(*kinds);
  if (const auto parameters = fields.value("parameters")) {
    request.grid.values = read_values(*parameters);
  }
  return request;
}

}  // namespace vitrine::http
