#include "index/kernels/table_sum.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "tests/index/instruction_sets.h"

namespace vitrine::index {
namespace {

class TableSum : public testing::TestWithParam<InstructionSet> {};

TEST_P(TableSum, AddsTheEntriesThatEachVectorsCodesName) {
  std::mt19937 random(1);
  for (std::size_t pairs = 1; pairs <= kMaxTables / 2; pairs += pairs < 9 ? 1 : 17) {
    // They end where their allocations end, so that a read past the end shows under ASan.
    std::vector<std::uint8_t> tables(2 * pairs * kTableEntries);
    std::vector<std::uint8_t> block(pairs * 32);
    for (auto& entry : tables) entry = static_cast<std::uint8_t>(random());
    std::vector<double> expected(kBlockVectors, 0.0);
    for (std::size_t table = 0; table < 2 * pairs; ++table) {
      for (std::size_t v = 0; v < kBlockVectors; ++v) {
        const auto code = static_cast<std::uint8_t>(random() % kTableEntries);
        put_code_in_block(block.data(), table, v, code);
        expected[v] += tables[table * kTableEntries + code];
      }
    }
    const auto least = static_cast<std::uint16_t>(expected[random() % kBlockVectors]);
    std::vector<std::uint16_t> sums(kBlockVectors);
    const std::uint32_t enough =
        table_sum_kernel(GetParam())
            .sum_block(tables.data(), block.data(), pairs, least, sums.data());
    for (std::size_t v = 0; v < kBlockVectors; ++v) {
      EXPECT_EQ(sums[v], expected[v]) << pairs << " pairs, vector " << v;
      EXPECT_EQ((enough >> v & 1) != 0, expected[v] >= least) << pairs << " pairs, vector " << v;
    }
  }
}

TEST_P(TableSum, IsExactWhereSumsAreLargest) {
  const std::vector<std::uint8_t> tables(kMaxTables * kTableEntries, 255);
  const std::vector<std::uint8_t> block(kMaxTables * 16, 0xa5);
  std::vector<std::uint16_t> sums(kBlockVectors);
  const auto& kernel = table_sum_kernel(GetParam());
  EXPECT_EQ(kernel.sum_block(tables.data(), block.data(), kMaxTables / 2, 65280, sums.data()),
            0xffffffff);
  EXPECT_EQ(sums, std::vector<std::uint16_t>(kBlockVectors, 65280));
  EXPECT_EQ(kernel.sum_block(tables.data(), block.data(), kMaxTables / 2, 65281, sums.data()), 0U);
}

TEST(TableSumBlock, GivesBackTheCodesPutIntoIt) {
  std::vector<std::uint8_t> block(2 * 32);
  for (std::size_t table = 0; table < 4; ++table) {
    for (std::size_t v = 0; v < kBlockVectors; ++v) {
      put_code_in_block(block.data(), table, v, (table * 5 + v * 3) % 16);
    }
  }
  for (std::size_t table = 0; table < 4; ++table) {
    for (std::size_t v = 0; v < kBlockVectors; ++v) {
      EXPECT_EQ(code_in_block(block.data(), table, v), (table * 5 + v * 3) % 16);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, TableSum, every_instruction_set(), name_of_set);

}  // namespace
}  // namespace vitrine::index
