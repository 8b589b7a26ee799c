#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace vitrine::engine {

/// Zero-shot classification of every product by one attribute. The labels are the attribute's
/// distinct values in the catalog; a product without the attribute is left out.
struct AttributeTask {
  std::string attribute;  ///< path in Product::attributes, such as "garment" or "maker.name"
  std::string prompt_template = std::string(kDefaultPromptTemplate);
};

struct EvaluationRequest {
  std::string catalog;
  std::vector<AttributeTask> attributes;
  /// Query with the attributes' names in braces, such as "a {colour} {pattern} {garment}". One
  /// query is asked for each combination of values that at least `min_products` products have; a
  /// hit is right when it has all of them. Empty: no retrieval is measured.
  std::string query_template;
  /// Values that a query leaves out, with the space after them: {"plain"} makes "a red plain
  /// dress" into "a red dress".
  std::vector<std::string> unspoken_values;
  std::size_t min_products = 10;
  int k = 10;         ///< precision@k, [1, kMaxLimit]
  bool exact = true;  ///< false: search as the index's kind does

  /// Throws InvalidArgument that names k or the template.
  void validate() const;
};

struct AttributeScore {
  std::string attribute;
  std::size_t labels = 0;
  std::size_t products = 0;
  double accuracy = 0;
  double weighted_f1 = 0;  ///< F1 of each label, weighted by how many products have it
};

struct EvaluationReport {
  std::vector<AttributeScore> attributes;
  std::size_t queries = 0;    ///< 0, too, when no combination has enough products
  double mean_precision = 0;  ///< mean precision@k of the queries; 0 when there are none
  double seconds = 0;
};

/// Scores the encoder on a catalog, from the embeddings of the current generation. Throws
/// InvalidArgument as validate() does, when no product has an attribute that is asked for, and when
/// the values of one are no labels (validate_labels()).
EvaluationReport evaluate(const Engine& engine, const EvaluationRequest& request);

/// Share of positions where predicted and expected agree. Equal lengths, at least 1.
double accuracy(std::span<const std::size_t> expected, std::span<const std::size_t> predicted);
/// F1 of each label in [0, labels), weighted by its count in `expected`. As scikit-learn's
/// f1_score(average="weighted", zero_division=0).
double weighted_f1(std::span<const std::size_t> expected, std::span<const std::size_t> predicted,
                   std::size_t labels);

}  // namespace vitrine::engine
