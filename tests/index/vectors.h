#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/matrix.h"

namespace vitrine::index {

inline void normalise(std::span<float> row) {
  double squares = 0;
  for (const float value : row) squares += static_cast<double>(value) * value;
  for (float& value : row) value = static_cast<float>(value / std::sqrt(squares));
}

/// Unit vectors in clusters, as embeddings are: [rows, cols]. centres_seed fixes the clusters, so
/// that queries of another seed come from the same ones.
inline Matrix clustered_vectors(std::size_t rows, std::size_t cols, std::uint32_t seed,
                                std::uint32_t centres_seed = 7) {
  constexpr std::size_t kClusters = 20;
  std::normal_distribution<float> normal;
  std::mt19937 centres_random(centres_seed);
  Matrix centres(kClusters, cols);
  for (std::size_t i = 0; i < kClusters * cols; ++i) centres.data()[i] = normal(centres_random);
  std::mt19937 random(seed);
  Matrix vectors(rows, cols);
  for (std::size_t i = 0; i < rows; ++i) {
    const auto centre = centres.row(random() % kClusters);
    const auto row = vectors.row(i);
    for (std::size_t column = 0; column < cols; ++column) {
      row[column] = centre[column] + 0.7F * normal(random);
    }
    normalise(row);
  }
  return vectors;
}

/// Unit vectors that vary along few axes, in clusters, as those of a small model do: [rows, cols].
/// cols: more than kNarrowAxes. Others of any seed vary along the same axes.
inline Matrix narrow_vectors(std::size_t rows, std::size_t cols, std::uint32_t seed) {
  constexpr std::size_t kNarrowAxes = 16;
  const Matrix clusters = clustered_vectors(rows, kNarrowAxes, seed);
  std::normal_distribution<float> normal;
  std::mt19937 axes_random(11);
  Matrix axes(kNarrowAxes, cols);
  for (std::size_t i = 0; i < kNarrowAxes * cols; ++i) axes.data()[i] = normal(axes_random);
  std::mt19937 random(seed + 1);
  Matrix vectors(rows, cols);
  for (std::size_t i = 0; i < rows; ++i) {
    const auto row = vectors.row(i);
    for (std::size_t column = 0; column < cols; ++column) {
      row[column] = 0.3F + 0.02F * normal(random);
      for (std::size_t axis = 0; axis < kNarrowAxes; ++axis) {
        row[column] += clusters.row(i)[axis] * axes.row(axis)[column];
      }
    }
    normalise(row);
  }
  return vectors;
}

/// Runs action and expects an Error of this code whose message contains part.
template <class Action>
void expect_error(ErrorCode code, const std::string& part, Action action) {
  try {
    action();
    ADD_FAILURE() << "nothing was thrown; expected " << to_string(code) << " with: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(to_string(error.code()), to_string(code)) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

}  // namespace vitrine::index
