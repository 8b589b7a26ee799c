#include "index/kernels/byte_dot.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "tests/index/instruction_sets.h"

namespace vitrine::index {
namespace {

class ByteDot : public testing::TestWithParam<InstructionSet> {
 protected:
  const ByteDotKernel& kernel_ = byte_dot_kernel(GetParam());
};

std::int64_t reference(const std::int8_t* query, const std::uint8_t* row) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < kByteRow; ++i) sum += std::int64_t{query[i]} * row[i];
  return sum;
}

TEST_P(ByteDot, IsExactHoweverARowIsReached) {
  std::mt19937 random(1);
  for (const std::size_t count : {0, 1, 2, 7, 8, 9, 16, 64, 75}) {
    // They end where their allocations end, so that a read past the end shows under ASan.
    std::vector<std::int8_t> query(kByteRow);
    std::vector<std::uint8_t> rows(count * kByteRow);
    for (auto& value : query) {
      value = static_cast<std::int8_t>(static_cast<int>(random() % (2 * kMostByteWeight + 1)) -
                                       kMostByteWeight);
    }
    for (auto& value : rows) value = static_cast<std::uint8_t>(random());
    std::vector<std::int32_t> places;
    for (std::size_t i = 0; i < count; ++i) {
      places.push_back(static_cast<std::int32_t>((i * 7 + 3) % count));
    }
    std::vector<float> scales(count);
    for (float& scale : scales) scale = static_cast<float>(random() % 100) / 64;
    const ByteDotScore score = {0.25F, 0.125F, 77};
    std::vector<float> contiguous_scores(count);
    std::vector<float> gathered_scores(count);
    std::vector<std::int32_t> contiguous(count);
    std::vector<std::int32_t> gathered(count);
    kernel_.contiguous(query.data(), rows.data(), count, contiguous.data());
    kernel_.gathered(query.data(), rows.data(), places.data(), count, gathered.data());
    kernel_.contiguous_scores(query.data(), score, rows.data(), scales.data(), count,
                              contiguous_scores.data());
    kernel_.gathered_scores(query.data(), score, rows.data(), scales.data(), places.data(), count,
                            gathered_scores.data());
    for (std::size_t i = 0; i < count; ++i) {
      EXPECT_EQ(contiguous_scores[i], score.of(contiguous[i], scales[i]));
      EXPECT_EQ(gathered_scores[i],
                score.of(gathered[i], scales[static_cast<std::size_t>(places[i])]));
      EXPECT_EQ(contiguous[i], reference(query.data(), rows.data() + i * kByteRow));
      const auto place = static_cast<std::size_t>(places[i]);
      EXPECT_EQ(gathered[i], reference(query.data(), rows.data() + place * kByteRow));
    }
  }
}

TEST_P(ByteDot, IsExactWhereProductsAreLargest) {
  for (const int weight : {-kMostByteWeight, kMostByteWeight}) {
    const std::vector<std::int8_t> query(kByteRow, static_cast<std::int8_t>(weight));
    const std::vector<std::uint8_t> row(kByteRow, 255);
    std::int32_t product = 0;
    kernel_.contiguous(query.data(), row.data(), 1, &product);
    EXPECT_EQ(product, reference(query.data(), row.data()));
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, ByteDot, every_instruction_set(), name_of_set);

}  // namespace
}  // namespace vitrine::index
