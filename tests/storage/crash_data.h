#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "base/sha256.h"
#include "storage/product.h"

/// What the crash writer stores, made anew by the test that looks whether it is there.
namespace vitrine::storage {

inline constexpr std::size_t kDimension = 16;
inline constexpr std::size_t kBatch = 8;
inline constexpr std::uint64_t kStepsPerGeneration = 5;

struct Acknowledgement {
  std::uint64_t steps = 0;       // batches of embeddings and products that were stored
  std::uint64_t generation = 0;  // the last one published; 0: none
};

inline std::vector<Sha256Digest> digests_of(std::uint64_t step) {
  std::vector<Sha256Digest> digests;
  for (std::size_t i = 0; i < kBatch; ++i) {
    digests.push_back(sha256(std::to_string(step) + "/" + std::to_string(i)));
  }
  return digests;
}

inline Matrix embeddings_of(std::uint64_t step) {
  Matrix values(kBatch, kDimension);
  for (std::size_t i = 0; i < kBatch * kDimension; ++i) {
    values.data()[i] = static_cast<float>(step) + static_cast<float>(i) / 1024.0f;
  }
  return values;
}

inline Product product_of(std::uint64_t step) {
  const std::string number = std::to_string(step);
  return {number, number + ".png", number + " steps"};
}

inline std::string index_of(std::uint64_t generation) {
  return std::string(20'000, static_cast<char>('a' + generation % 26));
}

}  // namespace vitrine::storage
