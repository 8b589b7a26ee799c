#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/matrix.h"

namespace vitrine::engine {

/// Most terms of one query.
inline constexpr std::size_t kMaxTerms = 16;
/// Largest absolute weight of a term.
inline constexpr float kMaxWeight = 100;

/// A part of what a search looks for. Exactly one of text, image_bytes, product_id and vector is
/// set.
struct QueryTerm {
  std::optional<std::string> text;           ///< UTF-8, not blank
  std::optional<std::string> image_bytes;    ///< an encoded image file (PNG, JPEG, ...)
  std::optional<std::string> product_id;     ///< its image embedding
  std::optional<std::vector<float>> vector;  ///< an embedding; of any length but 0, finite
  /// How much it counts beside the other terms; negative: hits should be unlike it. Not 0, at most
  /// kMaxWeight either way.
  float weight = 1;

  /// Throws InvalidArgument; where names the term, such as "query[1]".
  void validate(const std::string& where) const;
};

/// The standard deviation of the query's cosines with a sample: [m, d] unit rows, m at least 1. Not
/// below 0.001, so that what says nothing about the products does not count more and more for it.
double cosine_deviation(std::span<const float> query, MatrixView sample);

/// One vector that stands for all terms: the sum of weight * term, of unit length. Because inner
/// products are linear, searching with it orders products as the weighted sum of the terms' cosines
/// does.
/// terms: [n, d], unit rows. weights: [n].
/// sample: [m, d], unit rows of what is searched. When it is not empty, each term is divided by the
/// standard deviation of its cosines with the sample: an image's cosines with a catalogue spread
/// several times as far as a text's, so that without it the image alone would decide.
/// Throws InvalidArgument when the terms cancel each other out.
Matrix combine_terms(MatrixView terms, std::span<const float> weights, MatrixView sample);

}  // namespace vitrine::engine
