#include "index/kernels/packed_bounds.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

#include "tests/index/instruction_sets.h"

namespace vitrine::index {
namespace {

class PackedBounds : public testing::TestWithParam<InstructionSet> {
 protected:
  struct Bounds {
    double least;
    double most;
  };

  /// Of random rows; the errors of some are far larger than those of others.
  std::vector<PackedBlock> make_blocks(std::size_t rows) {
    constexpr std::size_t kRowsOfGroup = kPackedGroup * kPackedRows;
    std::vector<PackedBlock> blocks((rows + kRowsOfGroup - 1) / kRowsOfGroup * kPackedGroup);
    for (PackedBlock& block : blocks) {
      for (std::size_t row = 0; row < kPackedRows; ++row) {
        // Some rows are as large as they can be, so that sums are.
        const bool large = random_() % 8 == 0;
        for (auto& step : block.codes) {
          for (std::uint8_t& code : step[row]) {
            code = static_cast<std::uint8_t>(large ? 255 * (random_() % 2) : random_() % 256);
          }
        }
        block.scales[row] = 1e-4F * static_cast<float>(random_() % 50 + 1);
        block.errors[row] =
            (random_() % 10 == 0 ? 1e-1F : 1e-3F) * static_cast<float>(random_() % 20);
      }
    }
    leave_only(rows, blocks);
    return blocks;
  }

  static void leave_only(std::size_t rows, std::vector<PackedBlock>& blocks) {
    for (std::size_t row = rows; row < blocks.size() * kPackedRows; ++row) {
      blocks[row / kPackedRows].errors[row % kPackedRows] = kNoPackedRow;
    }
  }

  PackedQuery make_query() {
    PackedQuery query;
    const int most = kernel_.most_weight;
    for (std::size_t i = 0; i < kPackedRow; ++i) {
      const int weight = static_cast<int>(random_() % (2 * most + 1)) - most;
      query.weights.weights[i] = static_cast<std::int8_t>(random_() % 4 == 0 ? most : weight);
    }
    query.weights.step = 1.0F / static_cast<float>(most);
    query.slack = 1e-3F;
    return query;
  }

  static Bounds bounds_of(const PackedQuery& query, const PackedBlock& block, std::size_t row) {
    std::int32_t product = 0;
    for (std::size_t i = 0; i < kPackedRow; ++i) {
      product += query.weights.weights[i] *
                 (block.codes[i / kPackedElements][row][i % kPackedElements] - kPackedZero);
    }
    const double score = double{block.scales[row]} * query.weights.step * product;
    const double error = double{block.errors[row]} + query.slack;
    return {score - error, score + error};
  }

  const PackedBoundsKernel& kernel_ = packed_bounds_kernel(GetParam());
  std::mt19937 random_{1};
};

TEST_P(PackedBounds, LeaveOpenWhatMayBeAmongTheBest) {
  for (const std::size_t count : {1, 7, 8, 9, 16, 31, 32, 33, 500, 642, 1000, 4096}) {
    const std::vector<PackedBlock> blocks = make_blocks(count);
    for (const std::size_t k : {1, 2, 10, 16, 17, 40, 64}) {
      const PackedQuery query = make_query();
      // They end where their allocation ends, so that a write past the end shows under ASan.
      std::vector<std::int32_t> open(blocks.size() * kPackedRows, -1);
      const std::size_t found = kernel_.open(query, {blocks.data(), count}, k, open.data());
      open.resize(found);
      ASSERT_TRUE(std::is_sorted(open.begin(), open.end()));
      std::vector<double> least;
      std::vector<Bounds> bounds;
      for (std::size_t row = 0; row < count; ++row) {
        bounds.push_back(bounds_of(query, blocks[row / kPackedRows], row % kPackedRows));
        least.push_back(bounds.back().least);
      }
      std::sort(least.begin(), least.end(), std::greater<>());
      for (std::size_t row = 0; row < count; ++row) {
        const bool is_open =
            std::binary_search(open.begin(), open.end(), static_cast<std::int32_t>(row));
        if (k > count || bounds[row].most >= least[k - 1] + 1e-6) {
          ASSERT_TRUE(is_open) << count << ' ' << k << ' ' << row;
        }
        // There are twice as many classes as hits, or more: far behind, nothing is left open.
        if (count > 4 * kMostPackedHits && bounds[row].most < least[4 * k] - 1e-6) {
          ASSERT_FALSE(is_open) << count << ' ' << k << ' ' << row;
        }
      }
    }
  }
}

TEST_P(PackedBounds, LeaveAllOpenThatScoreTheSame) {
  const std::vector<PackedBlock> one = make_blocks(1);
  std::vector<PackedBlock> blocks(6, one[0]);
  for (PackedBlock& block : blocks) {
    for (std::size_t row = 1; row < kPackedRows; ++row) {
      for (auto& step : block.codes) std::copy_n(step[0], kPackedElements, step[row]);
      block.scales[row] = block.scales[0];
      block.errors[row] = block.errors[0];
    }
  }
  for (const std::size_t count : {96, 80, 70}) {
    leave_only(count, blocks);
    std::vector<std::int32_t> open(blocks.size() * kPackedRows);
    EXPECT_EQ(kernel_.open(make_query(), {blocks.data(), count}, 5, open.data()), count);
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, PackedBounds, every_instruction_set(), name_of_set);

}  // namespace
}  // namespace vitrine::index
