#include "engine/evaluation.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "engine/filter/attribute_value.h"
#include "engine/timestamp.h"
#include "engine/vectors.h"

namespace vitrine::engine {
namespace {

/// Products whose records are in memory at once.
constexpr std::size_t kProductsAtOnce = 1000;

/// The first scalar of an attribute as text; nothing when there is none.
std::optional<std::string> value_of(const storage::Product& product, const std::string& attribute) {
  std::optional<std::string> text;
  for_each_at(product.attributes, attribute, [&](const nlohmann::json& value) {
    if (text || !scalar_value(value)) return;
    text = value.is_string() ? value.get<std::string>() : value.dump();
  });
  return text;
}

/// One attribute of all products: for each row of the catalog the number of its value; of dead rows
/// nothing.
struct Column {
  std::vector<std::string> values;               // distinct, sorted
  std::vector<std::optional<std::size_t>> rows;  // indices into values
};

std::map<std::string, Column> read_columns(const Catalog& catalog,
                                           const std::set<std::string>& attributes) {
  std::map<std::string, std::vector<std::optional<std::string>>> texts;
  for (const std::string& name : attributes) texts[name].resize(catalog.rows());
  const std::vector<std::size_t> live = catalog.live_rows();
  for (std::size_t begin = 0; begin < live.size(); begin += kProductsAtOnce) {
    const auto rows =
        std::span(live).subspan(begin, std::min(kProductsAtOnce, live.size() - begin));
    const std::vector<storage::Product> products = catalog.products(rows);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (const std::string& name : attributes) texts[name][rows[i]] = value_of(products[i], name);
    }
  }
  std::map<std::string, Column> columns;
  for (const std::string& name : attributes) {
    std::map<std::string, std::size_t> numbers;
    for (const auto& text : texts[name]) {
      if (text) numbers.emplace(*text, 0);
    }
    if (numbers.empty()) {
      throw invalid_argument(fmt::format("no product of catalog {} has the attribute \"{}\"",
                                         catalog.name(), printable(name)));
    }
    Column& column = columns[name];
    for (auto& [value, number] : numbers) {
      number = column.values.size();
      column.values.push_back(value);
    }
    for (const auto& text : texts[name]) {
      column.rows.push_back(text ? std::optional(numbers.at(*text)) : std::nullopt);
    }
  }
  return columns;
}

/// "a {colour} {garment}" in pieces: literal text before each attribute, and after the last.
struct QueryTemplate {
  std::vector<std::string> literals;  // one more than attributes
  std::vector<std::string> attributes;
};

QueryTemplate parse_query_template(const std::string& text) {
  QueryTemplate result;
  std::size_t at = 0;
  while (true) {
    const std::size_t open = text.find('{', at);
    if (open == std::string::npos) break;
    const std::size_t close = text.find('}', open);
    if (close == std::string::npos || close == open + 1) {
      throw invalid_argument(fmt::format(
          "the query template \"{}\" must name an attribute in each pair of braces, as in "
          "\"a {{colour}} {{garment}}\"",
          printable(text)));
    }
    result.literals.push_back(text.substr(at, open - at));
    result.attributes.push_back(text.substr(open + 1, close - open - 1));
    at = close + 1;
  }
  result.literals.push_back(text.substr(at));
  if (result.attributes.empty()) {
    throw invalid_argument(
        fmt::format("the query template \"{}\" names no attribute in braces", printable(text)));
  }
  return result;
}

std::string fill(const QueryTemplate& query, const std::vector<std::string>& values,
                 const std::vector<std::string>& unspoken) {
  std::string text;
  bool skip_space = false;
  const auto add = [&](std::string_view part) {
    if (skip_space && part.starts_with(' ')) part.remove_prefix(1);
    text += part;
    skip_space = false;
  };
  for (std::size_t i = 0; i < values.size(); ++i) {
    add(query.literals[i]);
    if (std::ranges::find(unspoken, values[i]) != unspoken.end()) {
      skip_space = true;
    } else {
      add(values[i]);
    }
  }
  add(query.literals.back());
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

AttributeScore score_attribute(const Engine& engine, const Catalog& catalog,
                               const AttributeTask& task, const Column& column) {
  try {
    validate_labels(column.values);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("the values of the attribute \"{}\" cannot be labels: {}",
                                          printable(task.attribute), error.what()));
  }
  const PromptTemplate prompt(task.prompt_template);
  std::vector<std::string> prompts;
  for (const std::string& value : column.values) prompts.push_back(prompt.apply(value));
  const Matrix labels = engine.encode_texts(prompts).embeddings;

  std::vector<std::size_t> expected;
  std::vector<std::size_t> predicted;
  for (std::size_t row = 0; row < catalog.rows(); ++row) {
    if (!column.rows[row]) continue;
    const std::vector<float> image = catalog.vector(Target::kImage, row);
    std::size_t best = 0;
    float best_score = dot(image, labels.row(0));
    for (std::size_t label = 1; label < labels.rows(); ++label) {
      const float score = dot(image, labels.row(label));
      if (score > best_score) {
        best = label;
        best_score = score;
      }
    }
    expected.push_back(*column.rows[row]);
    predicted.push_back(best);
  }
  return {task.attribute, column.values.size(), expected.size(), accuracy(expected, predicted),
          weighted_f1(expected, predicted, column.values.size())};
}

void measure_retrieval(const Engine& engine, const Catalog& catalog,
                       const EvaluationRequest& request, const QueryTemplate& query,
                       const std::map<std::string, Column>& columns, EvaluationReport& report) {
  using Combination = std::vector<std::size_t>;  // a value of each attribute of the template
  std::vector<std::optional<Combination>> rows(catalog.rows());
  std::map<Combination, std::size_t> counts;
  for (std::size_t row = 0; row < catalog.rows(); ++row) {
    Combination combination;
    for (const std::string& attribute : query.attributes) {
      if (const auto value = columns.at(attribute).rows[row]) combination.push_back(*value);
    }
    if (combination.size() < query.attributes.size()) continue;
    ++counts[combination];
    rows[row] = std::move(combination);
  }
  std::vector<Combination> combinations;
  std::vector<std::string> texts;
  for (const auto& [combination, count] : counts) {
    if (count < request.min_products) continue;
    std::vector<std::string> values;
    for (std::size_t i = 0; i < combination.size(); ++i) {
      values.push_back(columns.at(query.attributes[i]).values[combination[i]]);
    }
    texts.push_back(fill(query, values, request.unspoken_values));
    combinations.push_back(combination);
  }
  report.queries = texts.size();
  if (texts.empty()) return;

  index::SearchOptions options = catalog.request().search;
  options.exact = request.exact;
  const index::SearchResult found =
      catalog.search(Target::kImage, engine.encode_texts(texts).embeddings, request.k, options);
  double precisions = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::size_t right = 0;
    for (std::size_t rank = 0; rank < found.k; ++rank) {
      const std::int64_t row = found.rows[i * found.k + rank];
      if (row == index::kNoRow) break;
      right += rows[static_cast<std::size_t>(row)] == combinations[i] ? 1 : 0;
    }
    precisions += static_cast<double>(right) / request.k;
  }
  report.mean_precision = precisions / static_cast<double>(texts.size());
}

}  // namespace

void EvaluationRequest::validate() const {
  if (k < 1 || k > kMaxLimit) {
    throw invalid_argument(fmt::format("k {} is out of range; valid: 1 to {}", k, kMaxLimit));
  }
  for (const AttributeTask& task : attributes) PromptTemplate{task.prompt_template};
  if (!query_template.empty()) parse_query_template(query_template);
}

EvaluationReport evaluate(const Engine& engine, const EvaluationRequest& request) {
  const auto start = std::chrono::steady_clock::now();
  request.validate();
  const std::shared_ptr<const Catalog> catalog = engine.catalog(request.catalog);
  catalog->require_encoder(engine.encoder().fingerprint());

  std::set<std::string> names;
  for (const AttributeTask& task : request.attributes) names.insert(task.attribute);
  std::optional<QueryTemplate> query;
  if (!request.query_template.empty()) {
    query = parse_query_template(request.query_template);
    names.insert(query->attributes.begin(), query->attributes.end());
  }
  const std::map<std::string, Column> columns = read_columns(*catalog, names);

  EvaluationReport report;
  for (const AttributeTask& task : request.attributes) {
    report.attributes.push_back(
        score_attribute(engine, *catalog, task, columns.at(task.attribute)));
  }
  if (query) measure_retrieval(engine, *catalog, request, *query, columns, report);
  report.seconds = milliseconds_since(start) / 1000;
  return report;
}

double accuracy(std::span<const std::size_t> expected, std::span<const std::size_t> predicted) {
  std::size_t right = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) right += expected[i] == predicted[i] ? 1 : 0;
  return static_cast<double>(right) / static_cast<double>(expected.size());
}

double weighted_f1(std::span<const std::size_t> expected, std::span<const std::size_t> predicted,
                   std::size_t labels) {
  std::vector<std::size_t> support(labels);
  std::vector<std::size_t> guesses(labels);
  std::vector<std::size_t> right(labels);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ++support[expected[i]];
    ++guesses[predicted[i]];
    if (expected[i] == predicted[i]) ++right[expected[i]];
  }
  double sum = 0;
  for (std::size_t label = 0; label < labels; ++label) {
    // F1 = 2 right / (support + guesses), which is 0 for a label without either.
    const std::size_t both = support[label] + guesses[label];
    if (both == 0) continue;
    sum += static_cast<double>(support[label]) * 2.0 * static_cast<double>(right[label]) /
           static_cast<double>(both);
  }
  return sum / static_cast<double>(expected.size());
}

}  // namespace vitrine::engine
