#include "engine/query.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "engine/vectors.h"

namespace vitrine::engine {
namespace {

/// A term whose cosines spread less than this says nothing about the products, and must not count
/// more and more for it.
constexpr double kLeastDeviation = 1e-3;
/// Unit terms whose weighted sum is shorter than this part of its weights are opposites but for
/// rounding.
constexpr double kLeastLength = 1e-5;

}  // namespace

double cosine_deviation(std::span<const float> query, MatrixView sample) {
  double sum = 0;
  double squares = 0;
  for (std::size_t row = 0; row < sample.rows; ++row) {
    const double cosine = dot(query, sample.row(row));
    sum += cosine;
    squares += cosine * cosine;
  }
  const auto count = static_cast<double>(sample.rows);
  const double mean = sum / count;
  return std::max(std::sqrt(std::max(squares / count - mean * mean, 0.0)), kLeastDeviation);
}

void QueryTerm::validate(const std::string& where) const {
  const int given =
      (text ? 1 : 0) + (image_bytes ? 1 : 0) + (product_id ? 1 : 0) + (vector ? 1 : 0);
  if (given != 1) {
    throw invalid_argument(fmt::format(
        "{} needs exactly one of a text, an image, a product id and a vector; {} were given", where,
        given));
  }
  if (text && text->find_first_not_of(" \t\r\n") == std::string::npos) {
    throw invalid_argument(where + ": the text is blank");
  }
  if (!std::isfinite(weight) || weight == 0 || std::abs(weight) > kMaxWeight) {
    throw invalid_argument(fmt::format("{}: weight {} is out of range; valid: -{} to {}, but not 0",
                                       where, weight, kMaxWeight, kMaxWeight));
  }
}

Matrix combine_terms(MatrixView terms, std::span<const float> weights, MatrixView sample) {
  std::vector<double> sum(terms.cols);
  double total = 0;
  for (std::size_t i = 0; i < terms.rows; ++i) {
    double weight = weights[i];
    if (sample.rows > 1) weight /= cosine_deviation(terms.row(i), sample);
    total += std::abs(weight);
    for (std::size_t c = 0; c < terms.cols; ++c) sum[c] += weight * terms.row(i)[c];
  }
  Matrix query(1, terms.cols);
  double squares = 0;
  for (const double value : sum) squares += value * value;
  const double length = std::sqrt(squares);
  if (!(length > kLeastLength * total)) {
    throw invalid_argument("the terms of the query cancel each other out; nothing is left");
  }
  std::ranges::transform(sum, query.row(0).begin(),
                         [length](double value) { return static_cast<float>(value / length); });
  return query;
}

}  // namespace vitrine::engine
