#include "index/kernels/bit_count.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace vitrine::index {
namespace {

TEST(BitCount, CountsEveryBitWithOrWithoutTheInstruction) {
  std::mt19937_64 random(1);
  for (std::size_t words = 0; words < 20; ++words) {
    std::vector<std::uint64_t> bits(words);
    std::size_t expected = 0;
    for (std::uint64_t& word : bits) {
      word = random() & random();
      for (int bit = 0; bit < 64; ++bit) expected += word >> bit & 1;
    }
    EXPECT_EQ(count_bits(bits), expected);
    EXPECT_EQ(count_bits_portably(bits), expected);
  }
  EXPECT_EQ(count_bits(std::vector<std::uint64_t>(3, ~std::uint64_t{0})), 192U);
}

}  // namespace
}  // namespace vitrine::index
